"""Find unfinished jobs whose patience has run out, and mend them by conditional writes."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import structlog

from shared import queues
from shared.errors import GuardianError
from shared.halves import pass_on
from shared.jobs import JobStore
from shared.records import MODALITIES, Job, Outcome, PartialResult
from shared.settings import Settings
from shared.telemetry import SWEEPER_REPAIRS

_log = structlog.get_logger()


def run(settings: Settings, stop: threading.Event) -> None:
    """Sweep until told to stop; a sweep that fails is logged, and the next one tries again."""
    while not stop.wait(settings.sweep_interval_s):
        try:
            sweep(settings, JobStore(settings), datetime.now(UTC))
        except GuardianError as error:
            _log.warning("sweep_failed", error=error.message)


def sweep(settings: Settings, store: JobStore, now: datetime) -> dict[str, int]:
    """Mend every overdue job once, and return how many of each kind.

    Safe to run twice at once: only the sweeper whose conditional write counts the sweep acts.
    """
    repairs: dict[str, int] = {}
    for job in store.overdue(now):
        if not store.postpone(job, now).applied:
            continue
        kind = _mend(settings, store, job, now)
        SWEEPER_REPAIRS.labels(kind).inc()
        repairs[kind] = repairs.get(kind, 0) + 1
        _log.warning("job_mended", job_id=job.job_id, kind=kind, sweeps=job.sweeps + 1)
    return repairs


def _mend(settings: Settings, store: JobStore, job: Job, now: datetime) -> str:
    missing = [modality for modality in MODALITIES if getattr(job, modality) is None]
    if not missing:
        store.claim_aggregation(job.job_id, now)
        queues.send_decision(settings, job.job_id)
        return "no_verdict"
    if job.sweeps >= settings.max_receive_count:
        for modality in missing:
            half = PartialResult(
                modality=modality,
                outcome=Outcome.FAILED,
                reason="no_result",
                message=f"No worker delivered this half after {job.sweeps} more requests.",
            )
            pass_on(settings, store, store.save_partial(job.job_id, half, now))
        return "given_up"
    for modality in missing:
        queues.send_analysis(settings, modality, job.job_id)
    store.mark_dispatched(job.job_id, now)
    return "never_started" if len(missing) == len(MODALITIES) else "half_missing"
