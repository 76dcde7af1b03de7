"""S3 objects as size-capped, hashed temporary files that are gone afterwards, whatever happens."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import aws
from shared.errors import (
    GuardianError,
    NotDecided,
    ObjectChanged,
    ObjectGone,
    SettingsInvalid,
    TooLarge,
)
from shared.records import Job, Upload
from shared.settings import Settings

_CHUNK_BYTES = 1024 * 1024
_PRIVATE = 0o700
#: Names of workspaces: pid and start of the process that made them, and a random rest.
_WORKSPACE = re.compile(r"\d+-\d*-")
#: What S3 answers where an object is not, or no longer, the one that was asked for.
GONE: dict[str, type[GuardianError]] = {
    "404": ObjectGone,
    "NoSuchKey": ObjectGone,
    "NoSuchVersion": ObjectGone,
    "412": ObjectChanged,
    "PreconditionFailed": ObjectChanged,
}


@dataclass(frozen=True)
class Fetched:
    """A local copy of an object.

    Attributes:
        path: The temporary file; removed when the context ends.
        sha256: Digest of its content, hex.
        size_bytes: Its size.
    """

    path: Path
    sha256: str
    size_bytes: int


def as_upload(
    bucket: str, key: str, told: Mapping[str, Any], size_bytes: int | None = None
) -> Upload:
    """Return an object as its job will know it, by what S3 tells of it.

    Args:
        bucket: Where it lies.
        key: Under which name.
        told: An answer or a line of a list, with its tag, and its version where it has one.
        size_bytes: Its size, where that is known.
    """
    version = told.get("VersionId")
    return Upload(
        bucket=bucket,
        key=key,
        version_id=None if version == "null" else version,
        etag=told["ETag"].strip('"'),
        size_bytes=size_bytes,
    )


def pin(upload: Upload) -> dict[str, str]:
    """Return the arguments that pin a read to the version of the upload."""
    if upload.version_id:
        return {"VersionId": upload.version_id}
    return {"IfMatch": f'"{upload.etag}"'} if upload.etag else {}


@contextmanager
def fetch(settings: Settings, upload: Upload, directory: Path) -> Iterator[Fetched]:
    """Stream an object into a file of a private directory (see `workspace`).

    Raises:
        ObjectGone: It is no longer there.
        ObjectChanged: It was overwritten since the job began.
        TooLarge: It is larger than the limit; checked before and during the download.
        ServiceUnavailable: S3 throttled, failed or broke off.
    """
    path = directory / "media"
    with aws.translated("reading the object", GONE):
        answer = aws.client(settings, "s3").get_object(
            Bucket=upload.bucket, Key=upload.key, **pin(upload)
        )
    size = int(answer["ContentLength"])
    if size > settings.max_upload_bytes:
        answer["Body"].close()
        raise TooLarge(f"The object has {size} bytes; {settings.max_upload_bytes} are allowed.")
    digest = hashlib.sha256()
    try:
        with (
            path.open("wb") as file,
            closing(answer["Body"]) as body,
            aws.translated("downloading the object"),
        ):
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
                if file.tell() > settings.max_upload_bytes:
                    raise TooLarge.than(settings.max_upload_bytes)
            written = file.tell()
        yield Fetched(path, digest.hexdigest(), written)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def workspace(settings: Settings) -> Iterator[Path]:
    """Make a private directory of this process and remove it with all it holds.

    Raises:
        SettingsInvalid: Somebody else made the directory for them where everybody may make one.
    """
    settings.work_dir.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    _check_owner(settings.work_dir)
    prefix = f"{os.getpid()}-{_started(os.getpid())}-"
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=settings.work_dir))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def _check_owner(directory: Path) -> None:
    """Refuse a directory in a place like /tmp that belongs to another user: it could be swapped."""
    shared_place = directory.parent.stat().st_mode & stat.S_ISVTX
    if shared_place and directory.lstat().st_uid not in (0, os.geteuid()):
        raise SettingsInvalid(f"GUARDIAN_WORK_DIR {directory} belongs to somebody else.")


def sweep_workspaces(settings: Settings, *, own: bool = False) -> int:
    """Remove what processes that have died left behind, and return how many directories.

    Args:
        settings: Where they lie.
        own: Remove those of this process too, because it is about to end.
    """
    if not settings.work_dir.is_dir():
        return 0
    ours = f"{os.getpid()}-"
    stale = [
        path
        for path in settings.work_dir.iterdir()
        if _WORKSPACE.match(path.name)  # whatever else lies there is somebody else's
        and (not _owner_lives(path.name) or (own and path.name.startswith(ours)))
    ]
    for path in stale:
        shutil.rmtree(path, ignore_errors=True)  # a process beside us may sweep too
    return len(stale)


def _owner_lives(name: str) -> bool:
    """Tell whether the very process that made a directory runs: pids are used again.

    In a container, the process that replaces one that crashed has the same pid.
    """
    pid, _, rest = name.partition("-")
    started = rest.partition("-")[0]
    return pid.isdigit() and started != "" and _started(int(pid)) == started


def _started(pid: int) -> str:
    """Return when a process began, in clock ticks since the boot; empty where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[19]  # the 22nd of proc(5), counted from behind the command's name


def put_report(settings: Settings, key: str, body: bytes, content_type: str) -> str:
    """Write one object into the reports bucket and return its key."""
    with aws.translated("writing a report"):
        aws.client(settings, "s3").put_object(
            Bucket=settings.reports_bucket, Key=key, Body=body, ContentType=content_type
        )
    return key


def remove_report(settings: Settings, key: str) -> None:
    """Remove one object of the reports bucket; one that is not there is fine too."""
    with aws.translated("removing a report"):
        aws.client(settings, "s3").delete_object(Bucket=settings.reports_bucket, Key=key)


def copy_report(settings: Settings, source: str, target: str) -> None:
    """Copy one object inside the reports bucket.

    Raises:
        ObjectGone: It is not there.
    """
    bucket = settings.reports_bucket
    with aws.translated("copying evidence", GONE):
        aws.client(settings, "s3").copy_object(
            Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": source}
        )


def get_report(settings: Settings, key: str) -> bytes:
    """Read one object of the reports bucket.

    Raises:
        ObjectGone: It is not there.
    """
    with aws.translated("reading a report", GONE):
        answer = aws.client(settings, "s3").get_object(Bucket=settings.reports_bucket, Key=key)
        content: bytes = answer["Body"].read()
    return content


def get_report_of(settings: Settings, job: Job) -> bytes:
    """Return the report.json of a job, byte for byte as it was stored and signed.

    Raises:
        NotDecided: The job has no verdict; what lies there may be of one that was withdrawn.
        ObjectGone: Its report has expired.
    """
    if job.report_key is None:
        raise NotDecided("There is no report before the verdict.")
    return get_report(settings, job.report_key)
