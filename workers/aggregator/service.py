"""From a job with its halves to its report and one stored verdict, however often it is asked."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from shared import measures, objects, outbox, signing, tracing
from shared.errors import GuardianError, NoVerdict, UnknownJob
from shared.jobs import JobStore
from shared.models import Registry
from shared.records import Job, JobStatus, Verdict
from shared.settings import Settings
from shared.table import Written
from shared.telemetry import RETRIES, SHADOW_VERDICTS, VERDICTS
from shared.visibility import Receipt, give_back, wait_s
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
    """Decide, write the report, and store the verdict once.

    A second call changes nothing but writes the report again, in case the first died before it.

    Raises:
        Retryable: A passing fault; the message has been given back with backoff.
        SetupError: A fault of the installation; it has been given back for a longer while.
        UnknownJob: The job was erased; nothing of it is left behind.
    """
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(job_id=job_id, modality="verdict")
    try:
        with tracing.span(job_id, "verdict"):
            job = _settle_or_clean(settings, store, job_id, model, now)
    except UnknownJob:  # nothing is given up, nor given back
        raise
    except Exception as error:
        if receipt and receipt.attempt >= settings.max_receive_count:
            measures.dead_letter("aggregate", error)
            _give_up(store, job_id, error, now)
        elif receipt and (delay_s := wait_s(settings, error, receipt.attempt)):
            RETRIES.labels("aggregator").inc()
            give_back(settings, receipt, delay_s)
        raise
    return job


def _give_up(store: JobStore, job_id: str, error: Exception, now: datetime) -> None:
    """After the last receive: a job without a verdict says so, with the cause."""
    try:
        store.fail(job_id, NoVerdict(f"No verdict came at the last attempt: {error}"), now)
    except GuardianError:
        _log.exception("giving_up_not_stored")  # the sweeper mends it


def _settle_or_clean(
    settings: Settings, store: JobStore, job_id: str, model: fusion.FusionModel, now: datetime
) -> Job:
    try:
        return _settle(settings, store, store.get(job_id), model, now)
    except UnknownJob:  # erased meanwhile, maybe just before the report was written
        objects.remove_report(settings, report_key(job_id))
        raise


def _settle(
    settings: Settings, store: JobStore, job: Job, model: fusion.FusionModel, now: datetime
) -> Job:
    """Bring a job to its end, or make sure that what is decided has its report."""
    if job.status in (JobStatus.COMPLETE, JobStatus.REJECTED):
        if job.verdict is not None:
            write_report(settings, job)
            latest = outbox.close(settings, job, now).job
            if latest.verdict != job.verdict:  # the report is now of a verdict that is superseded
                return _settle(settings, store, latest, model, now)
        return job
    if job.missing:  # its analysis was asked for again meanwhile
        _log.info("not_yet_to_be_decided")
        return job
    verdict = fusion.decide(job.audio, job.video, prior=settings.prior, decided_at=now, model=model)
    verdict = verdict.model_copy(update={"shadow": shadow.compare(job, verdict, model)})
    written = _report_and_store(settings, store, job, verdict, now)
    if not written.applied:  # decided meanwhile, or a half came: go by what there is
        return _settle(settings, store, written.job, model, now)
    return written.job


def _report_and_store(
    settings: Settings, store: JobStore, job: Job, verdict: Verdict, now: datetime
) -> Written:
    """Write the report, then store the verdict and end the work on the job in one write.

    The report of a verdict that is not stored is written over by whoever decides. A verdict whose
    report cannot be written is stored all the same, and its job stays pending.
    """
    key = report_key(job.job_id)
    try:
        write_report(settings, job.model_copy(update={"verdict": verdict}))
    except Exception:
        _count(job, verdict, store.finish(job, verdict, now, report_key=key))
        raise
    closing = outbox.closing(settings, job, verdict, now)
    written = store.finish(job, verdict, now, report_key=key, closing=closing)
    _count(job, verdict, written)
    return written


def _count(job: Job, verdict: Verdict, written: Written) -> None:
    """Note a verdict, once."""
    if not written.applied:
        return
    tracing.whole(job.job_id, job.created_at, datetime.now(UTC), label=verdict.label)
    if not job.upload.is_probe:
        VERDICTS.labels(verdict.label).inc()
        _count_shadow(verdict)
    _log.info("verdict", label=verdict.label, probability=verdict.probability)


def _count_shadow(verdict: Verdict) -> None:
    if verdict.shadow is not None:
        SHADOW_VERDICTS.labels(str(verdict.shadow.flip).lower()).inc()
        _log.info("shadow_verdict", label=verdict.shadow.label, flip=verdict.shadow.flip)


def report_key(job_id: str) -> str:
    """Return the key of a report in the reports bucket."""
    return f"reports/{job_id}/report.json"


def write_report(settings: Settings, job: Job) -> None:
    """Write the report of a decided job; pages are made of it on demand."""
    key = signing.key_file(settings.signing_key_file)
    body = report.encode(report.render_json(job, Registry(settings.models_dir)), key)
    objects.put_report(settings, report_key(job.job_id), body, "application/json")
