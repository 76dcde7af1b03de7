"""The page of a report that was stored with a verdict, made on demand from that report."""

from __future__ import annotations

from shared import objects
from shared.jobs import JobStore
from shared.settings import Settings
from workers.aggregator import page, pictures, report
from workers.phrases import Language


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
    stored = objects.get_report_of(settings, job)
    told = report.Report.model_validate_json(stored, extra="ignore")
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
