"""The report that was stored with a verdict, and its page, made on demand from that report."""

from __future__ import annotations

from shared import objects
from shared.errors import NotDecided
from shared.jobs import JobStore
from shared.records import Job
from shared.settings import Settings
from workers.aggregator import page, pictures, report
from workers.phrases import Language


def document(settings: Settings, job: Job) -> bytes:
    """Return the report.json of a job, byte for byte as it was stored and signed.

    Raises:
        NotDecided: The job has no verdict.
        ObjectGone: Its report has expired.
        ServiceUnavailable: The bucket could not be reached.
    """
    if job.report_key is None:
        raise NotDecided("There is no report before the verdict.")
    return objects.get_report(settings, job.report_key)


def render(settings: Settings, job_id: str, language: Language) -> str:
    """Render the page of a job; it says what its report.json says, whatever has changed since.

    Args:
        settings: The installation.
        job_id: A job with a verdict.
        language: `en` or `ko`.

    Raises:
        UnknownJob: There is no such job.
        NotDecided: It has no verdict.
        ObjectGone: Its report has expired.
        ServiceUnavailable: The table or the bucket could not be reached.
    """
    job = JobStore(settings).get(job_id)
    stored = document(settings, job)
    told = report.Report.model_validate_json(stored)
    job = job.model_copy(
        update={
            "verdict": told.verdict,
            "superseded": told.superseded,
            "audio": told.audio,
            "video": told.video,
        }
    )
    evidence = pictures.gather(job, lambda key: objects.get_report(settings, key))
    return page.render(job, language, evidence, stored)
