"""Find unfinished jobs whose patience has run out, and mend them by conditional writes."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import structlog

from shared import depths, queues
from shared.errors import GuardianError
from shared.halves import pass_on
from shared.jobs import JobStore
from shared.records import MODALITIES, Job, Modality, Outcome, PartialResult
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
    A job whose queue still holds messages may simply be waiting its turn; it is only postponed.
    """
    repairs: dict[str, int] = {}
    overdue = list(store.overdue(now))
    waiting = _backlogs(settings) if overdue else frozenset()
    for job in overdue:
        missing = [modality for modality in MODALITIES if getattr(job, modality) is None]
        waits = not waiting.isdisjoint(missing)
        if not store.postpone(job, now, counts=not waits).applied or waits:
            continue
        kind = _mend(settings, store, job, missing, now)
        SWEEPER_REPAIRS.labels(kind).inc()
        repairs[kind] = repairs.get(kind, 0) + 1
        _log.warning("job_mended", job_id=job.job_id, kind=kind, sweeps=job.sweeps + 1)
    return repairs


def _backlogs(settings: Settings) -> frozenset[str]:
    """Return the modalities whose queues hold messages that no worker has taken."""
    names = {settings.queue(modality): modality for modality in MODALITIES}
    return frozenset(
        names[row.name] for row in depths.measure(settings) if row.visible and row.name in names
    )


def _mend(
    settings: Settings, store: JobStore, job: Job, missing: list[Modality], now: datetime
) -> str:
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
