"""The shell around one half of a job: claim, fetch, analyse, save, and pass on when both are in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import structlog

from shared import cache, measures, objects, provenance, queues, tracing
from shared.compact import compact
from shared.containers import AUDIO_CONTAINERS
from shared.decoder import DecodeLimits
from shared.errors import (
    GuardianError,
    NotApplicable,
    ObjectGone,
    Permanent,
    UnknownJob,
    WorkerLost,
    code_of,
)
from shared.jobs import JobStore
from shared.probing import probe
from shared.records import (
    Analysis,
    Evidence,
    EvidenceRef,
    Job,
    Media,
    Modality,
    Outcome,
    PartialResult,
)
from shared.settings import Settings
from shared.table import Written
from shared.telemetry import RETRIES, TASKS
from shared.visibility import Receipt, give_back, wait_s

_Item = TypeVar("_Item")
#: Objects that are written at once.
_AT_ONCE = 8
_log = structlog.get_logger()


Analyze = Callable[[Path, Media], Analysis]


def run_half(
    settings: Settings,
    modality: Modality,
    job_id: str,
    analyze: Analyze,
    receipt: Receipt | None = None,
) -> None:
    """Do one half of a job; doing it twice equals doing it once.

    Raises:
        Retryable: A passing fault; the message has been given back with backoff.
        SetupError: A fault of the installation; it has been given back for a longer while.
        GuardianError: Anything else that is no property of the input; SQS delivers again, and
            after the last receive the half is stored as failed and the message is a dead letter.
    """
    structlog.contextvars.clear_contextvars()
    attempt = receipt.attempt if receipt else 1
    structlog.contextvars.bind_contextvars(job_id=job_id, modality=modality, attempt=attempt)
    store = JobStore(settings)
    try:
        with tracing.span(job_id, modality, attempt=attempt):
            _do_half(settings, store, modality, job_id, analyze, attempt)
    except UnknownJob:  # erased with all that belongs to it; there is nothing left to do
        TASKS.labels(modality, "erased").inc()
        _log.info("job_gone")
    except Exception as error:
        TASKS.labels(modality, "error").inc()
        _log.exception("half_failed")
        if receipt and attempt >= settings.max_receive_count:
            _give_up(settings, store, modality, job_id, error, attempt)
        elif receipt and (delay_s := wait_s(settings, error, attempt)):
            RETRIES.labels(modality).inc()
            _log.info("given_back", delay_s=give_back(settings, receipt, delay_s))
        raise


def _do_half(
    settings: Settings,
    store: JobStore,
    modality: Modality,
    job_id: str,
    analyze: Analyze,
    attempt: int,
) -> None:
    begun = store.begin(job_id, modality, datetime.now(UTC))
    half = begun.job.half(modality)
    if half is not None and half.outcome is not Outcome.FAILED:
        _log.info("half_already_stored")
        pass_on(settings, store, replace(begun, applied=False))
        return
    if attempt > 1 and attempt >= settings.max_receive_count and half is None:
        store.save_partial(job_id, _worker_lost(modality, attempt), datetime.now(UTC))
    with objects.workspace(settings) as directory:
        written = _analyze_upload(settings, store, modality, begun, analyze, attempt, directory)
    pass_on(settings, store, written)


def _worker_lost(modality: Modality, attempt: int) -> PartialResult:
    """Return what stands where the last attempt, too, ends without a word; else it is replaced."""
    return PartialResult(
        modality=modality,
        outcome=Outcome.FAILED,
        reason=WorkerLost.code,
        message=f"No worker survived this half, or finished it, in {attempt} attempts.",
        attempt=attempt,
    )


def _analyze_upload(
    settings: Settings,
    store: JobStore,
    modality: Modality,
    begun: Written,
    analyze: Analyze,
    attempt: int,
    directory: Path,
) -> Written:
    """Fetch, analyse and save; whatever is wrong with the input becomes a typed half."""
    try:
        done = _examine_upload(settings, modality, begun.job, analyze, directory)
    except Permanent as error:
        done = _Examined(typed_half(modality, error))
    result = done.result.model_copy(
        update={"attempt": attempt, "timings_ms": done.timings_ms | done.result.timings_ms}
    )
    now = datetime.now(UTC)
    try:
        written = store.save_partial(
            begun.job.job_id, result, now, media=done.media, sha256=done.sha256
        )
    except UnknownJob:  # erased meanwhile, maybe between two pictures of the evidence
        for ref in result.evidence:
            objects.remove_report(settings, ref.key or "")
        raise
    _observe(result)
    if done.sha256 and result.analysed_at is None and written.applied:
        cache.keep(settings, begun.job.job_id, done.sha256, result, now)
    return written


@dataclass(frozen=True)
class _Examined:
    """A half whose evidence is stored, and what has been learned about the file beside it."""

    result: PartialResult
    media: Media | None = None
    sha256: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)


def _examine_upload(
    settings: Settings, modality: Modality, job: Job, analyze: Analyze, directory: Path
) -> _Examined:
    started = time.perf_counter()
    with objects.fetch(settings, job.upload, directory) as fetched:
        timings = {"fetch": round((time.perf_counter() - started) * 1000, 1)}
        earlier = None if job.fresh else _earlier(settings, modality, job.job_id, fetched.sha256)
        if earlier:
            return replace(earlier, timings_ms=timings)
        analysis, media = examine(fetched.path, modality, analyze, settings)
    if analysis.evidence:
        JobStore(settings).get(job.job_id)  # of a job that was erased meanwhile, nothing is stored
    kept = _keep(settings, job.job_id, analysis.evidence)
    result = analysis.result.model_copy(update={"evidence": kept})
    return _Examined(result, media, fetched.sha256, timings)


def _earlier(settings: Settings, modality: Modality, job_id: str, sha256: str) -> _Examined | None:
    """Return the result of an earlier analysis of the same content, with evidence of its own."""
    found = cache.look_up(settings, modality, sha256)
    if found is None:
        return None
    if found.half.evidence:
        JobStore(settings).get(job_id)  # of a job that was erased meanwhile, nothing is copied
    try:
        evidence = _each(lambda ref: _copied(settings, job_id, ref), found.half.evidence)
    except ObjectGone:
        return None  # erased with its job meanwhile
    now_its_own = {"evidence": evidence, "timings_ms": {}, "analysed_at": found.made_at}
    return _Examined(found.half.model_copy(update=now_its_own), found.media, sha256)


def _copied(settings: Settings, job_id: str, ref: EvidenceRef) -> EvidenceRef:
    key = f"evidence/{job_id}/{ref.name}"
    if ref.key and ref.key != key:
        objects.copy_report(settings, ref.key, key)
    return ref.model_copy(update={"key": key})


def examine(
    path: Path, modality: Modality, analyze: Analyze, settings: Settings
) -> tuple[Analysis, Media | None]:
    """Probe and analyse one file; the fleet and the one-file command both come through here."""
    limits = decode_limits(settings)
    media: Media | None = None
    try:
        media = probe(path, limits)
        analysis = analyze(path, media)
    except Permanent as error:
        analysis = Analysis(typed_half(modality, error))
    if media is not None and modality == _reads_origin(media):
        origin = provenance.inspect(
            path, media.container, limits=limits, trust_anchors=settings.c2pa_trust_anchors
        )
        result = analysis.result.model_copy(update={"provenance": origin})
        analysis = Analysis(result, analysis.evidence)
    return compact(analysis), media


def _reads_origin(media: Media) -> Modality:
    """Return the half that looks for a manifest, once a file.

    A container that holds only sound wakes no video worker.
    """
    return "audio" if media.container in AUDIO_CONTAINERS else "video"


def _observe(result: PartialResult) -> None:
    from_cache = result.analysed_at is not None
    TASKS.labels(result.modality, result.outcome).inc()
    _log.info(
        "half_done",
        outcome=result.outcome,
        reason=result.reason,
        llr=result.llr,
        from_cache=from_cache,
    )
    if not from_cache:
        measures.half(result)


def typed_half(modality: Modality, error: Permanent) -> PartialResult:
    """Turn a property of the input into a half without a score."""
    says_nothing = isinstance(error, NotApplicable)
    return PartialResult(
        modality=modality,
        outcome=Outcome.NOT_APPLICABLE if says_nothing else Outcome.FAILED,
        reason=error.code,
        message=error.message,
    )


def decode_limits(settings: Settings) -> DecodeLimits:
    """Return the decoder's limits from the settings."""
    return DecodeLimits(
        wall_s=settings.decode_timeout_s,
        memory_bytes=settings.decode_memory_bytes,
        sandbox=settings.sandbox,
    )


def _keep(settings: Settings, job_id: str, evidence: Iterable[Evidence]) -> tuple[EvidenceRef, ...]:
    """Store evidence under evidence/{job_id}/ and return the references with their keys."""

    def keep(item: Evidence) -> EvidenceRef:
        key = f"evidence/{job_id}/{item.ref.name}"
        objects.put_report(settings, key, item.content, item.content_type)
        return item.ref.model_copy(update={"key": key})

    return _each(keep, evidence)


def _each(store: Callable[[_Item], EvidenceRef], items: Iterable[_Item]) -> tuple[EvidenceRef, ...]:
    """Store the pictures of a half side by side: the analyzer, maybe a GPU, waits for the last."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="evidence") as pool:
        return tuple(pool.map(store, items))


def last_attempts(job: Job) -> tuple[Modality, ...]:
    """Return the halves whose last attempt is under way, or has ended without a word.

    No verdict rests on them: their worker sends for it, or the sweeper, once none is at work.
    """
    return tuple(half.modality for half in job.halves if half.reason == WorkerLost.code)


def pass_on(settings: Settings, store: JobStore, written: Written) -> None:
    """Ask for the verdict, once, when both halves are stored.

    The write that stores the second half is the only one that sees it come in, and sends at once.
    One that changed nothing may carry on for a process that died before it sent: of those, one
    sends. A half that comes after the verdict, in the place of one that failed, makes a new verdict
    that supersedes the first. Two messages make one verdict, too.
    """
    job = written.job
    if not written.both_halves or last_attempts(job):
        return
    if job.status.final:
        if job.verdict is None or job.decided_on in (None, job.outcomes):
            return
        _log.info("verdict_superseded", decided_on=job.decided_on, now=job.outcomes)
        job = store.reopen(job, (), datetime.now(UTC)).job
    elif written.applied and job.aggregation is None:
        queues.send_decision(settings, job.job_id)
        _log.info("decision_asked_for")
        return
    if store.claim_aggregation(job.job_id, datetime.now(UTC)):
        queues.send_decision(settings, job.job_id)
        _log.info("decision_asked_for")


def _give_up(
    settings: Settings,
    store: JobStore,
    modality: Modality,
    job_id: str,
    error: Exception,
    attempt: int,
) -> None:
    """After the last receive: the half is failed, the other one still counts."""
    measures.dead_letter(modality, error)
    half = PartialResult(
        modality=modality,
        outcome=Outcome.FAILED,
        reason=code_of(error),
        message=f"Given up after {attempt} attempts: {error}",
        attempt=attempt,
    )
    try:
        pass_on(settings, store, store.save_partial(job_id, half, datetime.now(UTC)))
    except GuardianError:
        _log.exception("giving_up_not_stored")  # the sweeper mends it
