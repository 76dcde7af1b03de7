"""From one upload to a job: is the object acceptable, and if so, who is to analyse it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from shared import aws, queues
from shared.containers import AUDIO_CONTAINERS, SNIFF_BYTES, admit
from shared.errors import (
    GuardianError,
    KeyOutsideUploads,
    NoVideoTrack,
    ObjectChanged,
    ObjectGone,
    Permanent,
    ServiceUnavailable,
    WrongBucket,
)
from shared.halves import typed_half
from shared.jobs import JobStore, Written
from shared.objects import pin
from shared.records import MODALITIES, Upload
from shared.settings import UPLOADS_PREFIX, Settings
from shared.telemetry import EVENTS, REJECTED, key_digest

_MISSING: dict[str, type[GuardianError]] = {
    "404": ObjectGone,
    "NoSuchKey": ObjectGone,
    "NoSuchVersion": ObjectGone,
    "412": ObjectChanged,
    "PreconditionFailed": ObjectChanged,
}
#: What S3 answers where there is not one byte of a range.
_EMPTY = "InvalidRange"
_log = structlog.get_logger()


async def take_in(settings: Settings, s3: Any, store: JobStore, upload: Upload) -> None:
    """Make the job of an upload and send its tasks, or make it as rejected with a reason.

    A duplicate carries on where the first left off: a job whose tasks were never sent gets them.

    Raises:
        WrongBucket: The event is about a bucket that is not ours.
        Retryable: A passing fault; the message must come again.
    """
    if upload.bucket != settings.uploads_bucket:
        raise WrongBucket(f"The event is about bucket {upload.bucket!r}.")
    log = _log.bind(key=key_digest(upload.key))
    now = datetime.now(UTC)
    try:
        if not upload.key.startswith(UPLOADS_PREFIX):
            raise KeyOutsideUploads
        upload, start = await _look(s3, upload)
        container = admit(upload.size_bytes or 0, start, settings.max_upload_bytes)
    except Permanent as error:
        written = await asyncio.to_thread(store.reject, upload, error, now)
        if written.applied:
            REJECTED.labels(error.code).inc()
        EVENTS.labels("rejected" if written.applied else "duplicate").inc()
        log.info("rejected", job_id=written.job.job_id, reason=error.code)
        return
    written = await asyncio.to_thread(store.create, upload, now)
    EVENTS.labels("accepted" if written.applied else "duplicate").inc()
    log.info("accepted", job_id=written.job.job_id, container=container, new=written.applied)
    if not written.job.status.final and not written.job.dispatched:
        await asyncio.to_thread(_dispatch, settings, store, written, container)


async def _look(s3: Any, upload: Upload) -> tuple[Upload, bytes]:
    """Return the upload with its size and tag, and the first bytes of that very version.

    One read of a range tells all of it; a range of what is empty is refused.
    """
    first = f"bytes=0-{SNIFF_BYTES - 1}"
    try:
        answer = await s3.get_object(
            Bucket=upload.bucket, Key=upload.key, Range=first, **pin(upload)
        )
        async with answer["Body"] as body:
            start = await body.read()
        size_bytes = int(answer["ContentRange"].rpartition("/")[2])
        etag = upload.etag or answer["ETag"].strip('"')
        found = upload.model_copy(update={"size_bytes": size_bytes, "etag": etag})
    except ClientError as error:
        if aws.error_code(error) == _EMPTY:
            return upload.model_copy(update={"size_bytes": 0}), b""
        known = _MISSING.get(aws.error_code(error))
        if known:
            raise known from error
        if aws.is_passing(error):
            raise ServiceUnavailable(f"S3 answered {aws.error_code(error)}.") from error
        raise
    except (BotoCoreError, TimeoutError, OSError) as error:
        raise ServiceUnavailable(f"S3 could not be reached: {error}.") from error
    return found, start


def _dispatch(settings: Settings, store: JobStore, written: Written, container: str) -> None:
    """Send the tasks of a job; a container that holds only sound wakes no video worker.

    The picture's typed half is stored before the sound is asked for: whoever stores the second
    half sends for the verdict, and that is to be the audio worker.
    """
    job_id, now = written.job.job_id, datetime.now(UTC)
    wanted = MODALITIES
    if container in AUDIO_CONTAINERS:
        store.save_partial(job_id, typed_half("video", NoVideoTrack()), now)
        wanted = ("audio",)
    for modality in wanted:
        queues.send_analysis(settings, modality, job_id)
    store.mark_dispatched(job_id, now)
