"""Find jobs whose patience has run out, in whatever state, and mend them by conditional writes."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from shared import outbox, queues
from shared.errors import NoVerdict, UnknownJob
from shared.halves import last_attempts, pass_on
from shared.jobs import JobStore
from shared.records import MODALITIES, Job, Modality, Outcome, PartialResult
from shared.series import from_zero
from shared.settings import Settings
from shared.telemetry import SWEEPER_REPAIRS, SWEEPS, warn_of
from workers.aggregator import turns
from workers.aggregator.lost import Patrol

#: What a job or an upload may lack, and what becomes of one that is asked for in vain.
KINDS = (
    *("never_started", "half_missing", "no_verdict", "no_report", "lost_upload"),
    *("given_up", "never_reported", "never_admitted"),
)
_AGGREGATE = "aggregate"
_log = structlog.get_logger()


def run(settings: Settings, stop: threading.Event) -> None:
    """Sweep until told to stop; a sweep that fails is logged, and the next one tries again."""
    from_zero(SWEEPER_REPAIRS, KINDS)
    from_zero(SWEEPS, ["done", "failed"])
    patrol = Patrol(settings)
    while not stop.wait(settings.sweep_interval_s):
        try:
            store, now = JobStore(settings), datetime.now(UTC)
            sweep(settings, store, now)
            patrol.look(now)
        except Exception as error:  # noqa: BLE001  # whatever it is, the next sweep must come
            SWEEPS.labels("failed").inc()
            warn_of("sweep_failed", error)
        else:
            SWEEPS.labels("done").inc()


def sweep(settings: Settings, store: JobStore, now: datetime) -> dict[str, int]:
    """Mend every overdue job once, and return how many of each kind.

    Safe to run twice at once: only the sweeper whose conditional write counts the sweep acts.
    What a worker says it works on, or what may still have its turn in a queue, is not asked for;
    a job of which nothing else is missing is only postponed. A half goes by its own queue alone.
    """
    repairs: Counter[str] = Counter()
    overdue = list(store.overdue(now))
    if not overdue:
        return repairs
    lines, margin = turns.lines(settings, store, now), timedelta(seconds=settings.stuck_after_s)
    for job in overdue:
        halves = job.missing
        lost = [one for one in halves if not lines[one].excuses(job, now, margin)]
        at_last = any(job.job_id in lines[one].doing for one in last_attempts(job))
        has_turn = at_last or (not lost and (halves or lines[_AGGREGATE].excuses(job, now, margin)))
        with suppress(UnknownJob):  # erased meanwhile
            if has_turn:
                store.postpone(job, now)
            elif kind := _mend(settings, store, job, lost, now):
                SWEEPER_REPAIRS.labels(kind).inc()
                repairs[kind] += 1
                _log.warning("job_mended", job_id=job.job_id, kind=kind, sweeps=job.sweeps + 1)
    return repairs


def _mend(
    settings: Settings, store: JobStore, job: Job, missing: list[Modality], now: datetime
) -> str | None:
    """Ask again for what is missing, or end what was asked for in vain too often.

    Returns:
        What was done, of `KINDS`; None where another sweeper does it.
    """
    in_vain = job.sweeps >= settings.max_receive_count
    # what is given up is over; what else the job needs is asked for as often again
    if not store.postpone(job, now, 0 if in_vain else job.sweeps + 1).applied:
        return None
    if not missing:
        return _decide_again(settings, store, job, now, in_vain=in_vain)
    if in_vain:
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
    return "never_started" if len(missing) == len(MODALITIES) else "half_missing"


def _decide_again(
    settings: Settings, store: JobStore, job: Job, now: datetime, *, in_vain: bool
) -> str:
    """Ask for verdict and report; a verdict whose report is never written stands without it."""
    if in_vain and job.verdict is None:
        store.fail(job.job_id, NoVerdict(), now)
        return "given_up"
    if in_vain:
        outbox.close(settings, job, now)
        return "never_reported"
    store.claim_aggregation(job.job_id, now)
    queues.send_decision(settings, job.job_id)
    return "no_verdict" if job.verdict is None else "no_report"
