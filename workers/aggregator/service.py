"""From a job with its halves to one stored verdict and its report, however often it is asked."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from shared import measures, objects, outbox, signing, tracing
from shared.errors import GuardianError, NoVerdict, Retryable
from shared.jobs import JobStore
from shared.records import Job, JobStatus
from shared.settings import Settings
from shared.telemetry import RETRIES, VERDICTS
from shared.visibility import Receipt, give_back
from workers.aggregator import fusion, report

_log = structlog.get_logger()


def conclude(
    settings: Settings,
    store: JobStore,
    job_id: str,
    model: fusion.FusionModel,
    now: datetime,
    *,
    receipt: Receipt | None = None,
) -> Job:
    """Decide, store the verdict once, and write the report from what is stored.

    A second call changes nothing but writes the report again, in case the first died before it.

    Raises:
        Retryable: A passing fault; the message has been given back with backoff.
    """
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(job_id=job_id, modality="verdict")
    try:
        with tracing.span(job_id, "verdict"):
            job = _decide(settings, store, store.get(job_id), model, now)
            if job.verdict is not None:
                write_report(settings, job)
                outbox.close(settings, job, now)
    except Exception as error:
        if receipt and receipt.attempt >= settings.max_receive_count:
            measures.dead_letter("aggregate", error)
            _give_up(store, job_id, error, now)
        elif receipt and isinstance(error, Retryable):
            RETRIES.labels("aggregator").inc()
            give_back(settings, receipt)
        raise
    return job


def _give_up(store: JobStore, job_id: str, error: Exception, now: datetime) -> None:
    """After the last receive: a job without a verdict says so, with the cause."""
    try:
        store.fail(job_id, NoVerdict(f"No verdict came at the last attempt: {error}"), now)
    except GuardianError:
        _log.exception("giving_up_not_stored")  # the sweeper mends it


def _decide(
    settings: Settings, store: JobStore, job: Job, model: fusion.FusionModel, now: datetime
) -> Job:
    if job.status in (JobStatus.COMPLETE, JobStatus.REJECTED):
        return job
    verdict = fusion.decide(job.audio, job.video, prior=settings.prior, decided_at=now, model=model)
    written = store.finish(job, verdict, now, report_key=report_key(job.job_id, "json"))
    if written.applied:
        tracing.whole(job.job_id, job.created_at, datetime.now(UTC), label=verdict.label)
        if not job.upload.is_probe:
            VERDICTS.labels(verdict.label).inc()
        _log.info("verdict", label=verdict.label, probability=verdict.probability)
    elif written.job.outcomes != job.outcomes:  # a half came in between: decide on what there is
        return _decide(settings, store, written.job, model, now)
    return written.job


def report_key(job_id: str, suffix: str) -> str:
    """Return the key of a report in the reports bucket; `suffix` is json, en.html or ko.html."""
    return f"reports/{job_id}/report.{suffix}"


def write_report(settings: Settings, job: Job) -> None:
    """Write the report of a decided job as JSON and as a page in each language."""
    if job.verdict is None:
        return
    evidence = report.gather_evidence(job, lambda key: objects.get_report(settings, key))
    key = signing.key_file(settings.signing_key_file)
    body = report.encode(report.render_json(job), key)
    objects.put_report(settings, report_key(job.job_id, "json"), body, "application/json")
    for language in report.LANGUAGES:
        page = report.render_html(job, language, evidence, key=key)
        objects.put_report(
            settings,
            report_key(job.job_id, f"{language}.html"),
            page.encode(),
            "text/html; charset=utf-8",
        )
