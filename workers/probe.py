"""Sends two known clips through the real queues, and looks whether their verdicts are right.

A probe is an upload like any other, with its own prefix: it is in no list and no statistic of
verdicts, nobody is told of it, and all of it is removed afterwards.
"""

from __future__ import annotations

import struct
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import structlog
from pydantic import BaseModel

from shared import aws, erasure, objects
from shared.errors import Retryable, UnknownJob
from shared.jobs import JobStore
from shared.outbox import Outbox
from shared.records import PROBE_PREFIX, Job, Upload
from shared.series import from_zero
from shared.settings import Settings
from shared.telemetry import PROBE_SECONDS, PROBES, warn_of
from workers.samples import SAMPLES

CLIPS = ("bona_fide", "manipulated")
#: A verdict that takes longer is late.
PATIENCE_S = 900.0
_POLL_S = 1.0
Outcome = Literal["right", "wrong", "late", "failed"]
_log = structlog.get_logger()


class Answer(BaseModel):
    """What became of one known clip."""

    clip: str
    outcome: Outcome
    llr: float | None = None
    label: str | None = None
    took_s: float
    at: datetime


#: The latest answers of this process, by clip.
latest: dict[str, Answer] = {}


def run(settings: Settings, stop: threading.Event) -> None:
    """Probe again and again until told to stop; what fails is counted, and others follow."""
    if settings.probe_interval_s == 0:
        return
    from_zero(PROBES, CLIPS, get_args(Outcome))
    while not stop.wait(settings.probe_interval_s):
        for _ in probe(settings):
            pass


def probe(settings: Settings, patience_s: float = PATIENCE_S) -> Iterator[Answer]:
    """Send each clip, wait for its verdict, count it and remove it; one after the other."""
    for clip, path in zip(CLIPS, SAMPLES, strict=True):
        answer = _probe_one(settings, clip, path, patience_s)
        latest[clip] = answer
        PROBES.labels(clip, answer.outcome).inc()
        PROBE_SECONDS.labels(clip).set(answer.took_s)
        log = _log.info if answer.outcome == "right" else _log.error
        log("probed", **answer.model_dump(exclude={"at"}))
        yield answer


def _probe_one(settings: Settings, clip: str, path: Path, patience_s: float) -> Answer:
    began = time.monotonic()
    outcome: Outcome = "failed"
    job = None
    try:
        upload = _put(settings, clip, path)
        job = _follow(Outbox(settings), upload.job_id, began + patience_s)
        outcome = judge(clip, job)
        if job and job.status.final:
            erasure.remove(settings, job)
            JobStore(settings).erase(job.job_id)
    except Exception as error:  # noqa: BLE001  # whatever it is, the next probe must come
        warn_of("probe_failed", error, clip=clip)
    verdict = job.verdict if job else None
    return Answer(
        clip=clip,
        outcome=outcome,
        llr=verdict.llr if verdict else None,
        label=verdict.label if verdict else None,
        took_s=round(time.monotonic() - began, 1),
        at=datetime.now(UTC),
    )


def judge(clip: str, job: Job | None) -> Outcome:
    """Say whether the verdict lies on the clip's side of zero."""
    if job is None or not job.status.final:
        return "late"
    if job.verdict is None or job.verdict.llr is None:
        return "failed"
    return "right" if (job.verdict.llr > 0) == (clip == "manipulated") else "wrong"


def unlike_any_other(content: bytes) -> bytes:
    """Return an MP4 with an unused box of random content at its end: no cache knows it."""
    noise = uuid.uuid4().bytes
    return content + struct.pack(">I4s", 8 + len(noise), b"free") + noise


def _put(settings: Settings, clip: str, path: Path) -> Upload:
    key = f"{PROBE_PREFIX}{clip}-{uuid.uuid4().hex}.mp4"
    body = unlike_any_other(path.read_bytes())
    with aws.translated("sending a known clip"):
        answer = aws.client(settings, "s3").put_object(
            Bucket=settings.uploads_bucket, Key=key, Body=body
        )
    return objects.as_upload(settings.uploads_bucket, key, answer, len(body))


def _follow(store: Outbox, job_id: str, end: float) -> Job | None:
    """Wait until all work on the job has ended, or until the end."""
    job: Job | None = None
    while time.monotonic() < end:
        with suppress(UnknownJob, Retryable):  # not created yet, or asked again in a moment
            job = store.get(job_id)
            if job.status.final and store.is_closed(job_id):
                return job
        time.sleep(_POLL_S)
    return job
