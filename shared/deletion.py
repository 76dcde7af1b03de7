"""Deletes done messages by the batch: of a queue whose messages are done in quick succession."""

from __future__ import annotations

import threading
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from shared import aws
from shared.aws import SQS_BATCH
from shared.settings import Settings
from shared.visibility import Receipt

#: A message that is done waits this long for others, or a small part of its time out of sight.
_WAIT_S, _WAIT_PART = 1.0, 0.1
_log = structlog.get_logger()


class Deletion:
    """Collects what is done in this process; safe to call from any thread.

    A message whose deletion is lost with the process comes again, and its task finds its work done.
    """

    def __init__(self, settings: Settings) -> None:
        """Delete from the queues of an installation."""
        self._sqs = aws.client(settings, "sqs")
        self._wait_s = min(_WAIT_S, _WAIT_PART * settings.visibility_timeout_s)
        self._done: list[Receipt] = []
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def add(self, receipt: Receipt) -> None:
        """Delete a message soon."""
        with self._lock:
            self._done.append(receipt)
            is_full = len(self._done) >= SQS_BATCH
            if self._timer is None and not is_full:
                self._timer = threading.Timer(self._wait_s, self.flush)
                self._timer.daemon = True
                self._timer.start()
        if is_full:
            self.flush()

    def flush(self) -> None:
        """Delete what is collected now."""
        with self._lock:
            done, self._done = self._done, []
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        for url in dict.fromkeys(receipt.queue_url for receipt in done):
            handles = [receipt.handle for receipt in done if receipt.queue_url == url]
            for start in range(0, len(handles), SQS_BATCH):
                self._delete(url, handles[start : start + SQS_BATCH])

    def _delete(self, url: str, handles: list[str]) -> None:
        entries: list[Any] = [
            {"Id": str(at), "ReceiptHandle": handle} for at, handle in enumerate(handles)
        ]
        try:
            answer = self._sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        except (ClientError, BotoCoreError) as error:
            _log.warning("not_deleted", count=len(handles), error=str(error))
            return
        note_kept(answer)


def note_kept(answer: dict[str, Any]) -> None:
    """Log how many messages of a batch SQS did not delete, and why; they come again."""
    kept = answer.get("Failed", [])
    if kept:
        causes = sorted({row["Code"] for row in kept})
        _log.warning("not_deleted", count=len(kept), error=", ".join(causes))
