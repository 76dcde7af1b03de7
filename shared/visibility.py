"""Keep an SQS message invisible for as long as its task really runs.

Neither Celery nor kombu extends the visibility of a message, so a task that runs longer than the
queue's timeout would be given to a second worker. SQS allows twelve hours a receive (SQS developer
guide, "Visibility timeout").
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from shared import aws
from shared.errors import GuardianError, ReceiptLost, Retryable, SetupError
from shared.settings import Settings
from shared.telemetry import HEARTBEATS, LAST_RECEIVE

#: SQS keeps a message invisible for at most this long after a receive.
MAX_INVISIBLE_S = 12 * 3600
#: The visibility is renewed when this part of it has passed.
_RENEW_AFTER = 1 / 3
_GONE = (
    "ReceiptHandleIsInvalid",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
    "InvalidParameterValue",
    "AWS.SimpleQueueService.NonExistentQueue",
)
#: A message comes back after 4, 16, 64 and 256 s: an outage of minutes makes no dead letters.
_BACKOFF_BASE_S = 4
_log = structlog.get_logger()


@dataclass(frozen=True)
class Receipt:
    """One receive of one message.

    Attributes:
        queue_url: URL of the queue.
        handle: Receipt handle of this receive.
        attempt: How often the message has been received, from 1.
        job_id: The job that it is about, where that is known.
    """

    queue_url: str
    handle: str
    attempt: int
    job_id: str | None = None

    @property
    def queue(self) -> str:
        """The queue's name, which ends its URL."""
        return self.queue_url.rpartition("/")[2]

    @classmethod
    def of_message(cls, properties: dict[str, Any]) -> Receipt | None:
        """Read the receipt from a message's properties (`task.request.properties`), if from SQS."""
        info = (properties or {}).get("delivery_info", {})
        message = info.get("sqs_message")
        if not message:
            return None
        attempt = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
        return cls(info["sqs_queue"], message["ReceiptHandle"], attempt)


@dataclass(frozen=True)
class _Held:
    """A message in hand, and since when; whoever changes its visibility has its lock meanwhile."""

    receipt: Receipt
    since: float
    changing: threading.Lock = field(default_factory=threading.Lock)


class Keeper:
    """Renews the visibility of every message that this process has in hand, from one thread.

    A message is in hand from its receive until it is acknowledged or rejected, so one that waits
    for a pool child is kept like one whose task runs.
    """

    def __init__(self, settings: Settings, tell: Callable[[str, ReceiptLost], None]) -> None:
        """Prepare; the thread starts with the first message.

        Args:
            settings: Which installation.
            tell: Called with the job of a message that could be kept no longer, and the cause.
        """
        self._settings, self._tell = settings, tell
        self._sqs = aws.client(settings, "sqs")
        self._timeout_s = settings.visibility_timeout_s
        self._longest_s = min(settings.job_timeout_s, MAX_INVISIBLE_S - self._timeout_s)
        self._in_hand: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def keep(self, receipt: Receipt) -> None:
        """Renew a message until it is released."""
        with self._lock:
            self._in_hand[receipt.handle] = _Held(receipt, time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="visibility", daemon=True)
                self._thread.start()

    def release(self, handle: str) -> Receipt | None:
        """Stop renewing a message and return its receipt; None where it is not in hand.

        A renewal in flight is waited for: it would undo what the caller makes of the visibility.
        """
        with self._lock:
            held = self._in_hand.pop(handle, None)
        if held is None:
            return None
        with held.changing:
            return held.receipt

    def hand_back(self) -> int:
        """Make every message in hand visible to other workers now; return how many there were."""
        with self._lock:
            in_hand = list(self._in_hand.values())
            self._in_hand.clear()
        for held in in_hand:
            with held.changing:
                give_back(self._settings, held.receipt, delay_s=0)
        return len(in_hand)

    def _run(self) -> None:
        while True:
            time.sleep(self._timeout_s * _RENEW_AFTER)
            with self._lock:
                in_hand = list(self._in_hand.values())
            for held in in_hand:
                try:
                    self._renew(held)
                except Exception:  # noqa: BLE001  # one of them must not end the renewing of all
                    _log.exception("not_renewed", job_id=held.receipt.job_id)

    def _renew(self, held: _Held) -> None:
        """Renew once; let go of a message whose receipt is gone, or whose task is killed by now."""
        receipt = held.receipt
        if time.monotonic() - held.since > self._longest_s:
            self._let_go(receipt, "limit", f"{self._longest_s} seconds are the longest")
            return
        try:
            with held.changing:
                if self._in_hand.get(receipt.handle) is not held:
                    return  # released meanwhile
                change(self._sqs, receipt, self._timeout_s)
        except ClientError as error:
            if aws.error_code(error) in _GONE:
                self._let_go(receipt, "lost", str(error))
            else:
                self._missed(error)
        except BotoCoreError as error:
            self._missed(error)
        else:
            HEARTBEATS.labels("extended").inc()
            LAST_RECEIVE.labels(receipt.queue).set_to_current_time()

    def _let_go(self, receipt: Receipt, outcome: str, cause: str) -> None:
        """Another worker may get the message now; conditional writes make that harmless."""
        with self._lock:
            known = self._in_hand.pop(receipt.handle, None)
        if not known:
            return
        HEARTBEATS.labels(outcome).inc()
        _log.error("message_let_go", job_id=receipt.job_id, attempt=receipt.attempt, cause=cause)
        if receipt.job_id:
            try:
                self._tell(receipt.job_id, ReceiptLost(f"{ReceiptLost.__doc__} ({cause})"))
            except GuardianError as error:
                _log.warning("loss_not_noted", job_id=receipt.job_id, error=error.message)

    def _missed(self, error: Exception) -> None:
        HEARTBEATS.labels("error").inc()
        _log.warning("visibility_not_extended", error=str(error))


def change(sqs: Any, receipt: Receipt, timeout_s: int) -> None:
    """Set the time until the message may be received again."""
    sqs.change_message_visibility(
        QueueUrl=receipt.queue_url, ReceiptHandle=receipt.handle, VisibilityTimeout=timeout_s
    )


def backoff_s(settings: Settings, attempt: int) -> int:
    """Return after how many seconds a message may come again, received so often by now."""
    return min(settings.max_retry_wait_s, int(_BACKOFF_BASE_S ** min(attempt, 10)))


def wait_s(settings: Settings, error: Exception, attempt: int) -> int | None:
    """Return after how many seconds a message may come again whose task failed so.

    A fault of the installation lasts until somebody mends it, a right that was revoked, say: five
    receives take more than an hour then, and not a few minutes for every message of a queue.

    Returns:
        None for what may be the message's own fault: SQS brings it again when its time is over.
    """
    if isinstance(error, SetupError):
        return settings.max_retry_wait_s
    return backoff_s(settings, attempt) if isinstance(error, Retryable) else None


def give_back(settings: Settings, receipt: Receipt, delay_s: int | None = None) -> int:
    """Return a message to its queue, and say after how many seconds it can be received again.

    Args:
        settings: Which installation.
        receipt: The receive that it is in hand by.
        delay_s: Time to wait; None is exponential backoff.
    """
    if delay_s is None:
        delay_s = backoff_s(settings, receipt.attempt)
    try:
        change(aws.client(settings, "sqs"), receipt, delay_s)
    except (ClientError, BotoCoreError) as error:
        # the visibility timeout brings the message back all the same, only later
        _log.warning("message_not_given_back", error=str(error))
    return delay_s
