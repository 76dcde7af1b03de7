"""From one upload to a job: is the object acceptable, and if so, who is to analyse it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from aiohttp import ClientPayloadError
from botocore.exceptions import BotoCoreError, ClientError

from shared import aws, erasure, outbox
from shared.containers import AUDIO_CONTAINERS, SNIFF_BYTES, admit
from shared.errors import (
    KeyOutsideUploads,
    NoVideoTrack,
    ObjectChanged,
    ObjectGone,
    Permanent,
    ServiceUnavailable,
    WrongBucket,
)
from shared.halves import typed_half
from shared.jobs import JobStore
from shared.objects import GONE, pin
from shared.records import MODALITIES, Job, Upload
from shared.settings import UPLOADS_PREFIX, Settings
from shared.telemetry import EVENTS, REJECTED, key_digest
from workers.intake.outgoing import Outgoing

#: What S3 answers where there is not one byte of a range.
_EMPTY = "InvalidRange"
_log = structlog.get_logger()


@dataclass(frozen=True)
class Desk:
    """What uploads are taken in with.

    Attributes:
        settings: Which installation.
        s3: An asynchronous client.
        store: The jobs table.
        outgoing: Sends the tasks.
    """

    settings: Settings
    s3: Any
    store: JobStore
    outgoing: Outgoing


async def take_in(desk: Desk, upload: Upload, event: str | None = None) -> None:
    """Make the job of an upload and send its tasks, or make it as rejected with a reason.

    Tasks are sent by the event that made the job, which is in the queue until they are: when it
    comes again, those that have begun meanwhile are left out. Another event of the same upload
    sends nothing.

    Args:
        desk: What to take it in with.
        upload: The object.
        event: Id of the message that tells of it.

    Raises:
        WrongBucket: The event is about a bucket that is not ours.
        Retryable: A passing fault; the message must come again.
    """
    if upload.bucket != desk.settings.uploads_bucket:
        raise WrongBucket(f"The event is about bucket {upload.bucket!r}.")
    settings, store = desk.settings, desk.store
    log = _log.bind(key=key_digest(upload.key))
    now = datetime.now(UTC)
    try:
        if not upload.key.startswith(UPLOADS_PREFIX):
            raise KeyOutsideUploads
        upload, start = await _look(desk.s3, upload)
        container = admit(upload.size_bytes or 0, start, settings.max_upload_bytes)
    except Permanent as error:
        gone = isinstance(error, ObjectGone | ObjectChanged)
        if gone and await asyncio.to_thread(erasure.was_erased, settings, upload.job_id):
            EVENTS.labels("duplicate").inc()  # its key must not come back with a late event
            log.info("erased_before", job_id=upload.job_id)
            return
        written = await asyncio.to_thread(outbox.reject, settings, upload, error, now)
        if written.applied:
            REJECTED.labels(error.code).inc()
        EVENTS.labels("rejected" if written.applied else "duplicate").inc()
        log.info("rejected", job_id=written.job.job_id, reason=error.code)
        return
    written = await asyncio.to_thread(store.create, upload, now, event)
    made = "probe" if upload.is_probe else "accepted"  # as with verdicts, probes count apart
    EVENTS.labels(made if written.applied else "duplicate").inc()
    log.info("accepted", job_id=written.job.job_id, container=container, new=written.applied)
    if not written.job.status.final and written.job.event in (None, event):
        await _dispatch(desk, written.job, container)


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
        known = GONE.get(aws.error_code(error))
        if known:
            raise known from error
        if aws.is_passing(error):
            raise ServiceUnavailable(f"S3 answered {aws.error_code(error)}.") from error
        raise
    # aiobotocore passes on what aiohttp calls an answer that breaks off
    except (BotoCoreError, ClientPayloadError, OSError) as error:
        raise ServiceUnavailable(f"S3 could not be reached: {error}.") from error
    return found, start


async def _dispatch(desk: Desk, job: Job, container: str) -> None:
    """Send the tasks of a job; a container that holds only sound wakes no video worker.

    The picture's typed half is stored before the sound is asked for: whoever stores the second
    half sends for the verdict, and that is to be the audio worker.
    """
    wanted = MODALITIES
    if container in AUDIO_CONTAINERS:
        half, now = typed_half("video", NoVideoTrack()), datetime.now(UTC)
        await asyncio.to_thread(desk.store.save_partial, job.job_id, half, now)
        wanted = ("audio",)
    await asyncio.gather(
        *(desk.outgoing.ask(name, job.job_id) for name in wanted if name not in job.begun)
    )
