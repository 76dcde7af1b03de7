"""Do a job again, or make it as if it had never been."""

from __future__ import annotations

from datetime import UTC, datetime

from shared import aws, queues
from shared.errors import NotRepeatable, UnknownJob
from shared.jobs import JobStore
from shared.records import MODALITIES, Job, JobStatus, Modality, Outcome
from shared.settings import Settings

#: S3 deletes at most this many objects a call.
_BATCH = 1000


def retry(settings: Settings, job_id: str) -> Job:
    """Analyse a finished job again: its failed halves, or both where none failed.

    Returns:
        The job, queued again; its earlier verdict is gone.

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


def reopen_failed(settings: Settings, job_id: str) -> None:
    """Make room for the halves of a job that failed, so that a message of its may do them.

    A job that is gone, or still at work, is left alone: its message does what it can.
    """
    store = JobStore(settings)
    try:
        job = store.get(job_id)
    except UnknownJob:
        return
    if job.status in (JobStatus.COMPLETE, JobStatus.FAILED):
        store.reopen(job, _failed(job), datetime.now(UTC))


def _failed(job: Job) -> tuple[Modality, ...]:
    return tuple(
        modality
        for modality in MODALITIES
        if (half := getattr(job, modality)) is None or half.outcome is Outcome.FAILED
    )


def erase(settings: Settings, job_id: str) -> Job:
    """Remove a job with its upload, its evidence and its reports; the row goes last.

    Raises:
        UnknownJob: There is no such job.
        ServiceUnavailable: S3 or the table could not be reached; calling again carries on.
    """
    store = JobStore(settings)
    job = store.get(job_id)
    s3 = aws.client(settings, "s3")
    version = {"VersionId": job.version_id} if job.version_id else {}
    with aws.translated("erasing a job"):
        s3.delete_object(Bucket=job.bucket, Key=job.key, **version)
        for prefix in (f"evidence/{job_id}/", f"reports/{job_id}/"):
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=settings.reports_bucket, Prefix=prefix, PaginationConfig={"PageSize": _BATCH}
            )
            for page in pages:
                keys = [{"Key": row["Key"]} for row in page.get("Contents", [])]
                if keys:
                    s3.delete_objects(Bucket=settings.reports_bucket, Delete={"Objects": keys})
    store.erase(job_id)
    return job
