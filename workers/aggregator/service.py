"""From a job with its halves to one stored verdict and its report, however often it is asked."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from shared import measures, objects, outbox, signing, tracing
from shared.errors import GuardianError, NoVerdict, Retryable
from shared.jobs import JobStore
from shared.records import Job, JobStatus, Verdict
from shared.settings import Settings
from shared.telemetry import RETRIES, SHADOW_VERDICTS, VERDICTS
from shared.visibility import Receipt, give_back
from workers.aggregator import fusion, report, shadow

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
    verdict = verdict.model_copy(update={"shadow": shadow.compare(job, verdict, model)})
    written = store.finish(job, verdict, now, report_key=report_key(job.job_id))
    if written.applied:
        tracing.whole(job.job_id, job.created_at, datetime.now(UTC), label=verdict.label)
        if not job.upload.is_probe:
            VERDICTS.labels(verdict.label).inc()
            _count_shadow(verdict)
        _log.info("verdict", label=verdict.label, probability=verdict.probability)
    elif written.job.outcomes != job.outcomes:  # a half came in between: decide on what there is
        return _decide(settings, store, written.job, model, now)
    return written.job


def _count_shadow(verdict: Verdict) -> None:
    if verdict.shadow is not None:
        SHADOW_VERDICTS.labels(str(verdict.shadow.flip).lower()).inc()
        _log.info("shadow_verdict", label=verdict.shadow.label, flip=verdict.shadow.flip)


def report_key(job_id: str) -> str:
    """Return the key of a report in the reports bucket."""
    return f"reports/{job_id}/report.json"


def write_report(settings: Settings, job: Job) -> None:
    """Write the report of a decided job; pages are made of it on demand."""
    if job.verdict is None:
        return
    key = signing.key_file(settings.signing_key_file)
    body = report.encode(report.render_json(job), key)
    objects.put_report(settings, report_key(job.job_id), body, "application/json")
