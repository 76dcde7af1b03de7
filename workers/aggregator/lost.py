"""Finds uploads that have no job because their event was lost, and sends the event again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import structlog

from shared import aws, depths, items, objects, outbox, queues
from shared.errors import NotAdmitted
from shared.records import Upload
from shared.settings import UPLOADS_PREFIX, Settings
from shared.telemetry import SWEEPER_REPAIRS

#: Older uploads are left alone: their jobs may have been erased or have expired.
LOOKBACK = timedelta(days=7)
#: Pages of the bucket's listing that one sweep reads, of at most a thousand versions each.
PAGES = 5
_CLAIM = "lost"
_log = structlog.get_logger()


class Patrol:
    """Goes through the bucket a few pages a sweep, and begins again after an interval."""

    def __init__(self, settings: Settings, page: int = 1000) -> None:
        """Begin at the first key.

        Args:
            settings: Which installation.
            page: Versions a page.
        """
        self._settings = settings
        self._page = page
        self._marker: dict[str, str] = {}
        self._next_round: datetime | None = None

    def look(self, now: datetime) -> int:
        """Read the next pages; return how many events were sent again.

        Nothing is done while the uploads queue holds messages: an event may simply wait there. Of
        several patrols, the one whose conditional write claims the upload sends its event.

        Raises:
            ServiceUnavailable: S3, SQS or the table could not be asked; the next look goes on.
            SetupError: A right is missing.
        """
        interval_s = self._settings.bucket_sweep_interval_s
        if not interval_s or (self._next_round and now < self._next_round):
            return 0
        if depths.backlog(self._settings, "uploads"):
            return 0
        sent = 0
        for _ in range(PAGES):
            answer = self._list()
            sent += self._mend(list(self._due(answer, now)), now)
            self._marker = _next(answer)
            if not self._marker:
                self._next_round = now + timedelta(seconds=interval_s)
                break
        return sent

    def _list(self) -> dict[str, Any]:
        with aws.translated("listing the uploads"):
            answer: dict[str, Any] = aws.client(self._settings, "s3").list_object_versions(
                Bucket=self._settings.uploads_bucket,
                Prefix=UPLOADS_PREFIX,
                MaxKeys=self._page,
                **self._marker,
            )
        return answer

    def _due(self, answer: dict[str, Any], now: datetime) -> Iterator[Upload]:
        """Yield the uploads of a page whose job should be there by now."""
        youngest = now - timedelta(seconds=self._settings.stuck_after_s)
        oldest = now - min(LOOKBACK, timedelta(days=self._settings.retention_days))
        for row in answer.get("Versions", []):
            is_folder = row["Key"].endswith("/") and not row["Size"]
            if oldest < row["LastModified"].astimezone(UTC) < youngest and not is_folder:
                yield objects.as_upload(self._settings.uploads_bucket, row["Key"], row, row["Size"])

    def _mend(self, uploads: list[Upload], now: datetime) -> int:
        """Send the events of those uploads that have no job; end one that is never taken in."""
        known = items.existing(self._settings, [upload.job_id for upload in uploads])
        lost = [upload for upload in uploads if upload.job_id not in known]
        sent = 0
        for upload in lost:
            patience_s = self._settings.stuck_after_s
            keep_s = LOOKBACK.total_seconds()
            tries = items.claim(self._settings, _CLAIM, upload.job_id, now, patience_s, keep_s)
            if tries > self._settings.max_receive_count:
                outbox.reject(self._settings, upload, NotAdmitted(), now)
                self._note(upload, "never_admitted", tries)
            elif tries:
                self._send(upload)
                self._note(upload, "lost_upload", tries)
                sent += 1
        return sent

    def _send(self, upload: Upload) -> None:
        with aws.translated("sending the event of an upload again"):
            aws.client(self._settings, "sqs").send_message(
                QueueUrl=queues.queue_url(self._settings, self._settings.queue("uploads")),
                MessageBody=_event(upload),
            )

    def _note(self, upload: Upload, kind: str, tries: int) -> None:
        SWEEPER_REPAIRS.labels(kind).inc()
        _log.warning("upload_without_job", job_id=upload.job_id, kind=kind, tries=tries)


def _next(answer: dict[str, Any]) -> dict[str, str]:
    """Return where the next page begins; nothing after the last."""
    if not answer.get("IsTruncated"):
        return {}
    marker = {"KeyMarker": answer["NextKeyMarker"]}
    if answer.get("NextVersionIdMarker"):
        marker["VersionIdMarker"] = answer["NextVersionIdMarker"]
    return marker


def _event(upload: Upload) -> str:
    """Return the notification as S3 would have sent it."""
    item = {"key": quote_plus(upload.key), "size": upload.size_bytes, "eTag": upload.etag}
    if upload.version_id:
        item["versionId"] = upload.version_id
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": upload.bucket}, "object": item},
    }
    return json.dumps({"Records": [record]})
