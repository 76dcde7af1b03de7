"""Uploads from the page straight to S3, in presigned parts."""

from __future__ import annotations

import re
import uuid
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, Field

from shared import aws, objects
from shared.errors import GuardianError, KeyOutsideUploads, ObjectGone, TooLarge
from shared.settings import UPLOADS_PREFIX, Settings

#: Size of a part; S3 wants 5 MiB at least, but for the last.
PART_BYTES = 16 * 1024 * 1024
#: How long the addresses of the parts are good.
VALID_S = 3600
#: Letters of a name that are kept; S3 takes 1,024 bytes for a whole key.
_NAME_LENGTH = 200
#: What is longer than this is no suffix.
_SUFFIX_LENGTH = 20
#: Signs that S3's answers, which are XML, cannot hold: an upload of such a name never begins.
_UNTELLABLE = re.compile("[\x00-\x1f\ufffe\uffff]")
_GONE: dict[str, type[GuardianError]] = {
    "NoSuchUpload": ObjectGone,
    "NoSuchKey": ObjectGone,
    "404": ObjectGone,
}


class NewUpload(BaseModel):
    """A file that somebody is about to upload."""

    name: str = Field(min_length=1, max_length=4096)
    size_bytes: int = Field(gt=0)


class Parts(BaseModel):
    """Where to put each part; the parts are `part_bytes` long, the last may be shorter."""

    key: str
    upload_id: str
    part_bytes: int
    urls: list[str]


class Uploading(BaseModel):
    """An upload whose parts have been put."""

    key: str = Field(max_length=1024)
    upload_id: str = Field(min_length=1, max_length=1024)


class Uploaded(BaseModel):
    """The job that the upload becomes."""

    job_id: str
    key: str


def new_key(new: NewUpload) -> str:
    """Return a key for a file that nothing else has; a long name is cut, but for its suffix."""
    name = _UNTELLABLE.sub("_", new.name.replace("\\", "/").rsplit("/", 1)[-1])
    if len(name) > _NAME_LENGTH:
        suffix = PurePosixPath(name).suffix
        kept = suffix if len(suffix) <= _SUFFIX_LENGTH else ""
        name = name[: _NAME_LENGTH - len(kept)] + kept
    return f"{UPLOADS_PREFIX}{uuid.uuid4().hex[:12]}/{name}"


def begin(settings: Settings, new: NewUpload, key: str) -> Parts:
    """Open a multipart upload and sign an address for each part.

    Raises:
        TooLarge: The file is larger than what is analysed.
        ServiceUnavailable: S3 could not be reached.
    """
    if new.size_bytes > settings.max_upload_bytes:
        raise TooLarge.than(settings.max_upload_bytes)
    s3 = aws.client(settings, "s3")
    where = {"Bucket": settings.uploads_bucket, "Key": key}
    with aws.translated("opening an upload"):
        upload_id = s3.create_multipart_upload(**where)["UploadId"]
        count = -(-new.size_bytes // PART_BYTES)
        urls = [
            s3.generate_presigned_url(
                "upload_part",
                Params={**where, "UploadId": upload_id, "PartNumber": number},
                ExpiresIn=VALID_S,
            )
            for number in range(1, count + 1)
        ]
    return Parts(key=key, upload_id=upload_id, part_bytes=PART_BYTES, urls=urls)


def complete(settings: Settings, uploading: Uploading) -> Uploaded:
    """Close an upload and tell which job it becomes; one that is closed already is told again.

    Raises:
        KeyOutsideUploads: The key is outside uploads/.
        ObjectGone: There is no such upload, or it has no part.
        TooLarge: The parts are larger than what is analysed; they are thrown away.
        ServiceUnavailable: S3 could not be reached.
    """
    s3 = aws.client(settings, "s3")
    where = _where(settings, uploading)
    with aws.translated("closing an upload", _GONE):
        try:
            answer = _close(s3, where, settings.max_upload_bytes)
        except s3.exceptions.NoSuchUpload:  # whoever asks again has not had the answer
            answer = s3.head_object(Bucket=where["Bucket"], Key=where["Key"])
    upload = objects.as_upload(settings.uploads_bucket, uploading.key, answer)
    return Uploaded(job_id=upload.job_id, key=uploading.key)


def _close(s3: Any, where: dict[str, str], max_bytes: int) -> dict[str, Any]:
    """Put the parts together and return what S3 says of the object."""
    pages = s3.get_paginator("list_parts").paginate(**where)
    parts = [part for page in pages for part in page.get("Parts", [])]
    if not parts:
        raise ObjectGone("No part of the file has arrived.")
    if sum(part["Size"] for part in parts) > max_bytes:
        s3.abort_multipart_upload(**where)
        raise TooLarge.than(max_bytes)
    named = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
    answer: dict[str, Any] = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": named})
    return answer


def abort(settings: Settings, uploading: Uploading) -> None:
    """Throw away the parts of an upload.

    Raises:
        KeyOutsideUploads: The key is outside uploads/.
        ObjectGone: There is no such upload.
        ServiceUnavailable: S3 could not be reached.
    """
    with aws.translated("aborting an upload", _GONE):
        aws.client(settings, "s3").abort_multipart_upload(**_where(settings, uploading))


def _where(settings: Settings, uploading: Uploading) -> dict[str, str]:
    if not uploading.key.startswith(UPLOADS_PREFIX):
        raise KeyOutsideUploads
    return {
        "Bucket": settings.uploads_bucket,
        "Key": uploading.key,
        "UploadId": uploading.upload_id,
    }
