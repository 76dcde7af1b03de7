"""Put a file into the uploads bucket and follow its job to the end."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig

from shared import aws, objects
from shared.errors import NotMedia, Retryable, ServiceUnavailable, UnknownJob
from shared.jobs import JobStore
from shared.records import Job, Upload
from shared.settings import UPLOADS_PREFIX, Settings

_PART_BYTES = 8 * 1024 * 1024
_POLL_S = 0.5


def put(
    settings: Settings, path: Path, progress: Callable[[int], None], key: str | None = None
) -> Upload:
    """Upload a file in parts and return the upload as its job will know it.

    Args:
        settings: Where to.
        path: The file.
        progress: Called with the number of bytes sent since the last call.
        key: Key under uploads/; by default a fresh one that ends with the file's name.

    Raises:
        NotMedia: The file cannot be read.
        ServiceUnavailable: S3 could not be reached.
        SetupError: There is no such bucket, or no right to it.
    """
    key = key or f"{UPLOADS_PREFIX}{uuid.uuid4().hex[:12]}/{_name(path)}"
    s3 = aws.client(settings, "s3")
    config = TransferConfig(multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES)
    try:
        with aws.translated("uploading the file"):
            try:
                s3.upload_file(
                    str(path), settings.uploads_bucket, key, Callback=progress, Config=config
                )
            except S3UploadFailedError as error:  # what S3 answered is behind it
                raise error.__context__ or error from None
            head = s3.head_object(Bucket=settings.uploads_bucket, Key=key)
    except OSError as error:
        raise NotMedia(f"The file {path} cannot be read: {error.strerror}.") from error
    return objects.as_upload(settings.uploads_bucket, key, head, head["ContentLength"])


def _name(path: Path) -> str:
    """Return a file's name as a key may hold it; file systems allow bytes that are no text."""
    return os.fsencode(path.name).decode(errors="replace")


def follow(settings: Settings, job_id: str, timeout_s: float) -> Iterator[Job]:
    """Yield the job at each change until its state is final.

    Raises:
        ServiceUnavailable: It was not final after `timeout_s` seconds.
    """
    store = JobStore(settings)
    end = time.monotonic() + timeout_s
    last: Job | None = None
    while time.monotonic() < end:
        try:
            job: Job | None = store.get(job_id)
        except (UnknownJob, Retryable):  # not created yet, or asked again in a moment
            job = last
        if job and job != last:
            last = job
            yield job
            if job.status.final:
                return
        time.sleep(_POLL_S)
    raise ServiceUnavailable(
        f"Job {job_id} had no verdict after {timeout_s:.0f} s; ask again with "
        f"`guardian jobs show {job_id}`."
    )
