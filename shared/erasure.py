"""Make a job as if it had never been, and write down in a receipt that this was done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from shared import aws, cache, feedback, items, objects, signing
from shared.errors import (
    Busy,
    GuardianError,
    ObjectChanged,
    ObjectGone,
    ServiceUnavailable,
    UnknownJob,
)
from shared.jobs import JobStore
from shared.records import ErasureReceipt, Job
from shared.settings import Settings

#: S3 deletes at most this many objects a call.
_BATCH = 1000
#: The version of what lies, or was put, in a bucket that keeps no versions.
_FIRST_VERSION = "null"
_GONE: dict[str, type[GuardianError]] = {
    **dict.fromkeys(("404", "405"), ObjectGone),
    "412": ObjectChanged,
}
#: A bucket that keeps no versions may answer so who asks for one.
_GONE_BELOW = {**_GONE, "400": ObjectGone}


#: Rows that hold nothing but the id of a job that was erased, and how long SQS keeps its events.
_ERASED, _LATE_EVENTS_S = "erased", 14 * 86_400
#: Rows that say that somebody erases a job, and how long one counts whose process was killed.
_ERASING, _LONGEST_S = "erasing", 60.0


def erase(settings: Settings, job_id: str, by: str, now: datetime) -> dict[str, Any]:
    """Remove a job with its upload, evidence, reports, feedback and cached result.

    What was removed is looked for again before the receipt is written; the row goes after it, so
    that an erasure that broke off can be asked for again. What workers stored until then goes last,
    and is counted, too: later ones find the row gone, and take back what they stored themselves.

    Args:
        settings: The installation.
        job_id: The job.
        by: Who asked for it.
        now: When.

    Returns:
        The receipt (`ErasureReceipt`), signed where there is a key, as it lies in the reports
        bucket under `receipts/`; that of the first time for a job that is erased already.

    Raises:
        UnknownJob: There is no such job, and none was erased.
        Busy: Somebody else is erasing it.
        ServiceUnavailable: S3, Redis or the table could not be reached; calling again carries on.
    """
    with _alone(settings, job_id, now):
        return _erase(settings, job_id, by, now)


@contextmanager
def _alone(settings: Settings, job_id: str, now: datetime) -> Iterator[None]:
    """Let one at a time erase a job: each of two would count only a part of what went."""
    if not items.claim(settings, _ERASING, job_id, now, _LONGEST_S, _LONGEST_S):
        raise Busy("The job is being erased; ask again in a moment.")
    try:
        yield
    finally:
        with suppress(ServiceUnavailable):  # it ends by itself
            items.delete(settings, _ERASING, job_id)


def _erase(settings: Settings, job_id: str, by: str, now: datetime) -> dict[str, Any]:
    store = JobStore(settings)
    try:
        job = store.get(job_id)
    except UnknownJob:
        with suppress(ObjectGone):
            return _with_late(settings, json.loads(receipt_of(settings, job_id)))
        raise
    removed = remove(settings, job)
    receipt = ErasureReceipt(
        job_id=job_id,
        erased_at=now,
        erased_by=by,
        bucket=job.bucket,
        key_sha256=hashlib.sha256(job.key.encode()).hexdigest(),
        version_id=job.version_id,
        content_sha256=job.sha256,
        removed={**removed, "job": 1},
    )
    document = _write_down(settings, receipt)
    items.put(settings, _ERASED, job_id, {}, now, _LATE_EVENTS_S)
    store.erase(job_id)
    return _with_late(settings, document)


def _with_late(settings: Settings, document: dict[str, Any]) -> dict[str, Any]:
    """Remove what was stored until the row went, and return the receipt that counts it, too."""
    receipt = ErasureReceipt.model_validate(document, extra="ignore")
    late = _remove_stored(settings, receipt.job_id)
    if not any(late.values()):
        return document
    counted = {kind: count + late.get(kind, 0) for kind, count in receipt.removed.items()}
    return _write_down(settings, receipt.model_copy(update={"removed": counted}))


def _write_down(settings: Settings, receipt: ErasureReceipt) -> dict[str, Any]:
    """Store a receipt, signed where there is a key, and return it as it lies there."""
    document = receipt.model_dump(mode="json")
    key = signing.key_file(settings.signing_key_file)
    if key is not None:
        document = signing.sign(document, key)
    body = json.dumps(document, ensure_ascii=False, indent=1).encode()
    objects.put_report(settings, _receipt_key(receipt.job_id), body, "application/json")
    return document


def _receipt_key(job_id: str) -> str:
    return f"receipts/{job_id}.json"


def receipt_of(settings: Settings, job_id: str) -> bytes:
    """Return the receipt of an erased job, byte for byte as it was stored and signed.

    Raises:
        ObjectGone: The job was not erased.
        ServiceUnavailable: S3 could not be reached.
    """
    return objects.get_report(settings, _receipt_key(job_id))


def was_erased(settings: Settings, job_id: str) -> bool:
    """Return whether a job was erased, for as long as events of its upload may still come.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    return items.get(settings, _ERASED, job_id) is not None


def remove(settings: Settings, job: Job) -> dict[str, int]:
    """Remove all that belongs to a job but its row, and return how many objects of each kind.

    Raises:
        ServiceUnavailable: S3, Redis or the table could not be reached; calling again carries on.
    """
    removed = {"upload": _remove_upload(settings, job), **_remove_stored(settings, job.job_id)}
    removed["feedback"] = int(feedback.forget(settings, job.job_id))
    if job.sha256:
        cache.forget(settings, job.sha256)
    return removed


def _remove_upload(settings: Settings, job: Job) -> int:
    """Remove the very version that was analysed, and return 1; 0 where it was gone already.

    Without versions, another object may lie under the key by now: that one is somebody else's.
    What was uploaded before the bucket kept versions has the version `null`, and may lie under a
    newer one.
    """
    s3 = aws.client(settings, "s3")
    where = {"Bucket": job.bucket, "Key": job.key}
    exact = objects.pin(job.upload)
    places = [(exact, _GONE)]
    if not job.version_id:
        places.append(({**exact, "VersionId": _FIRST_VERSION}, _GONE_BELOW))

    def version() -> str | None:
        for place, gone in places:
            with suppress(ObjectGone, ObjectChanged):
                with aws.translated("looking for an upload to erase", gone):
                    found = s3.head_object(**where, **place)
                return str(found.get("VersionId", _FIRST_VERSION))
        return None

    there = version()
    if there is None:
        return 0
    with aws.translated("erasing an upload"):
        s3.delete_object(**where, VersionId=there)
    if version() is not None:
        raise ServiceUnavailable("The upload is still there after it was deleted; ask again.")
    return 1


def _remove_stored(settings: Settings, job_id: str) -> dict[str, int]:
    """Remove what workers stored of a job, and return how many objects of each kind."""
    return {kind: _remove_all(settings, f"{kind}/{job_id}/") for kind in ("evidence", "reports")}


def _remove_all(settings: Settings, prefix: str) -> int:
    """Remove all objects of the reports bucket under a prefix, and return how many."""
    s3 = aws.client(settings, "s3")
    bucket, removed = settings.reports_bucket, 0
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": _BATCH}
    )
    with aws.translated("erasing what belongs to a job"):
        # an empty page need not be the last
        while page := next((page for page in pages if page.get("Contents")), None):
            keys = [{"Key": row["Key"]} for row in page["Contents"]]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            if answer.get("Errors"):
                code = answer["Errors"][0].get("Code")
                raise ServiceUnavailable(f"Objects under {prefix} could not be deleted: {code}.")
            removed += len(keys)
    return removed
