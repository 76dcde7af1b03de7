"""Keep an SQS message invisible for as long as its task really runs.

Neither Celery nor kombu extends the visibility of a message, so a task that runs longer than the
queue's timeout would be given to a second worker. SQS allows twelve hours a receive (SQS developer
guide, "Visibility timeout").
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from shared import aws
from shared.settings import Settings
from shared.telemetry import HEARTBEATS

#: SQS keeps a message invisible for at most this long after a receive.
MAX_INVISIBLE_S = 12 * 3600
#: The visibility is renewed when this part of it has passed.
_RENEW_AFTER = 1 / 3
_GONE = (
    "ReceiptHandleIsInvalid",
    "InvalidParameterValue",
    "AWS.SimpleQueueService.NonExistentQueue",
)
_MAX_BACKOFF_S = 900
_log = structlog.get_logger()


@dataclass(frozen=True)
class Receipt:
    """One receive of one message.

    Attributes:
        queue_url: URL of the queue.
        handle: Receipt handle of this receive.
        attempt: How often the message has been received, from 1.
    """

    queue_url: str
    handle: str
    attempt: int

    @classmethod
    def of_request(cls, properties: dict[str, Any]) -> Receipt | None:
        """Read the receipt from `task.request.properties`; None outside SQS."""
        info = (properties or {}).get("delivery_info", {})
        message = info.get("sqs_message")
        if not message:
            return None
        attempt = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
        return cls(info["sqs_queue"], message["ReceiptHandle"], attempt)


class Heartbeat:
    """A context that renews the visibility of a message from a thread until it is left.

    Attributes:
        lost: Set when the receipt is no longer valid: another worker may have the message.
    """

    def __init__(self, settings: Settings, receipt: Receipt) -> None:
        """Prepare; the thread starts on entering."""
        self._sqs = aws.client(settings, "sqs")
        self._timeout_s = settings.visibility_timeout_s
        self._receipt = receipt
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="visibility", daemon=True)
        self.lost = threading.Event()

    def __enter__(self) -> Heartbeat:
        """Start renewing."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop renewing; waits for a call under way."""
        self._done.set()
        self._thread.join()

    def _beat(self) -> None:
        end = time.monotonic() + MAX_INVISIBLE_S - self._timeout_s
        while not self._done.wait(self._timeout_s * _RENEW_AFTER):
            if time.monotonic() > end:
                _log.error("visibility_limit_reached", hours=MAX_INVISIBLE_S // 3600)
                HEARTBEATS.labels("limit").inc()
                self.lost.set()
                return
            if not self._extend():
                return

    def _extend(self) -> bool:
        """Renew once; False when the receipt is gone for good."""
        try:
            change(self._sqs, self._receipt, self._timeout_s)
        except ClientError as error:
            if aws.error_code(error) in _GONE:
                _log.error("receipt_lost", attempt=self._receipt.attempt, error=str(error))
                HEARTBEATS.labels("lost").inc()
                self.lost.set()
                return False
            _log.warning("visibility_not_extended", error=str(error))
            HEARTBEATS.labels("error").inc()
        except BotoCoreError as error:
            _log.warning("visibility_not_extended", error=str(error))
            HEARTBEATS.labels("error").inc()
        else:
            HEARTBEATS.labels("extended").inc()
        return True


def change(sqs: Any, receipt: Receipt, timeout_s: int) -> None:
    """Set the time until the message may be received again."""
    sqs.change_message_visibility(
        QueueUrl=receipt.queue_url, ReceiptHandle=receipt.handle, VisibilityTimeout=timeout_s
    )


def give_back(settings: Settings, receipt: Receipt) -> int:
    """Return a message to its queue with exponential backoff, and say after how many seconds."""
    delay_s = min(_MAX_BACKOFF_S, 1 << min(receipt.attempt, 10))
    try:
        change(aws.client(settings, "sqs"), receipt, delay_s)
    except (ClientError, BotoCoreError) as error:
        # the visibility timeout brings the message back all the same, only later
        _log.warning("message_not_given_back", error=str(error))
    return delay_s
