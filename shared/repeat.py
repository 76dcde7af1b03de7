"""Do a job again."""

from __future__ import annotations

from datetime import UTC, datetime

from shared import queues
from shared.errors import NotRepeatable, UnknownJob
from shared.jobs import JobStore
from shared.records import MODALITIES, Job, JobStatus, Modality, Outcome
from shared.settings import Settings


def retry(settings: Settings, job_id: str) -> Job:
    """Analyse a finished job again: its failed halves, or both where none failed.

    Returns:
        The job, queued again; its verdict has moved to `superseded`, with the models behind it.

    Raises:
        UnknownJob: There is no such job.
        NotRepeatable: It was rejected at the door, or is still at work.
        ServiceUnavailable: The table or SQS could not be reached.
    """
    store = JobStore(settings)
    job = store.get(job_id)
    if job.status not in (JobStatus.COMPLETE, JobStatus.FAILED):
        raise NotRepeatable(f"The job is {job.status}; only a finished analysis can be repeated.")
    halves = _failed(job) or MODALITIES
    written = store.reopen(job, halves, datetime.now(UTC))
    if not written.applied:
        raise NotRepeatable("Somebody else has just repeated the job.")
    for modality in halves:
        queues.send_analysis(settings, modality, job_id)
    return written.job


def reopen_failed(settings: Settings, job_id: str, queue: str) -> None:
    """Make room in a failed job for what a message of a queue does, so that it may do it again.

    A job that is gone, still at work, or complete with that half is left alone: its message does
    what it can, and a verdict that stands is not taken back. So is a failed half whose message
    is another: it counts as failed until that one comes back, too.
    """
    store = JobStore(settings)
    try:
        job = store.get(job_id)
    except UnknownJob:
        return
    again = [modality for modality in _failed(job) if modality == queue]
    if job.status is JobStatus.FAILED or (job.status is JobStatus.COMPLETE and again):
        store.reopen(job, again, datetime.now(UTC))


def _failed(job: Job) -> tuple[Modality, ...]:
    return tuple(
        modality
        for modality in MODALITIES
        if (half := job.half(modality)) is None or half.outcome is Outcome.FAILED
    )
