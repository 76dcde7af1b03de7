"""Kombu's SQS transport, made to keep its messages and to survive a bad day.

Kombu 5.7.0's asynchronous consumer ends the worker on a single 5xx or 4xx of ReceiveMessage and
needs pycurl. This one receives through botocore (own time-outs and retries), and a failed receive
is logged, counted and followed by a pause, nothing else.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from kombu.transport import SQS

from shared import aws, flags
from shared.deletion import Deletion
from shared.errors import ReceiptLost
from shared.settings import Settings, get_settings
from shared.telemetry import LAST_RECEIVE, RECEIVE_ERRORS
from shared.visibility import Keeper, Receipt, give_back

_MIN_PAUSE_S = 0.5
_MAX_PAUSE_S = 30.0
#: Rest between two looks at a paused queue's flag.
_PAUSED_S = 1.0
#: Rest between two looks at the gates.
_CLOSED_S = 0.1
_log = structlog.get_logger()

#: When a receive last succeeded, by queue name, on the monotonic clock; read by readiness.
last_receive: dict[str, float] = {}
#: When this process last turned to a queue, whatever came of it; read by liveness.
last_look: dict[str, float] = {}

#: What must all be true before this process receives.
gates: list[Callable[[], bool]] = []
#: Who wants to know of a message that could be kept no longer: called with its job and the cause.
loss_listeners: list[Callable[[str, ReceiptLost], None]] = []


@lru_cache(maxsize=1)
def _keeper(settings: Settings) -> Keeper:
    return Keeper(settings, _tell)


def _tell(job_id: str, error: ReceiptLost) -> None:
    for listener in loss_listeners:
        listener(job_id, error)


def _arguments(payload: dict[str, Any]) -> dict[str, Any]:
    """Return what a task is called with.

    Raises:
        ValueError, LookupError, TypeError, AttributeError, RecursionError: It is no task message;
            Celery would end the worker on one without a name or an id, and delete one without a
            body.
    """
    headers, encoding = payload["headers"], payload["properties"].get("body_encoding")
    if not (isinstance(headers["task"], str) and isinstance(headers["id"], str)):
        raise TypeError("the task has no name, or no id")
    body = payload["body"]
    if encoding == "base64":
        body = base64.b64decode(body)
    elif encoding is not None:
        raise ValueError("the body's encoding is not known")
    arguments = json.loads(body)[1]
    return dict(arguments)


@lru_cache(maxsize=1)
def _deletion(settings: Settings) -> Deletion:
    return Deletion(settings)


def delete_done(settings: Settings) -> None:
    """Delete now what is done and waits for others to be deleted with."""
    _deletion(settings).flush()


def hand_back(settings: Settings) -> int:
    """Give every message that this process has in hand to other workers; return how many."""
    delete_done(settings)
    return _keeper(settings).hand_back()


class _Collector:
    """Stands where the SQS client does, and keeps what is to be sent."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def send_message(self, **request: Any) -> None:
        self.requests.append(request)


_collector: ContextVar[_Collector | None] = ContextVar("collector", default=None)


@contextmanager
def collected() -> Iterator[list[dict[str, Any]]]:
    """Keep the messages that this thread sends in the context, as requests of SendMessage."""
    collector = _Collector()
    token = _collector.set(collector)
    try:
        yield collector.requests
    finally:
        _collector.reset(token)


class Channel(SQS.Channel):
    """A channel whose receives never raise and whose clients come from our settings."""

    _pause_s = _MIN_PAUSE_S

    def sqs(self, queue: str | None = None) -> Any:  # noqa: ARG002  # kombu's signature
        """Return the process's SQS client; credentials are botocore's business."""
        return _collector.get() or aws.client(get_settings(), "sqs")

    def _size(self, queue: str) -> int:  # noqa: ARG002  # kombu's signature
        """Kombu asks when it declares a queue, and a worker would end where SQS throttles that."""
        return 0

    def _has_redrive_policy(self, *_: object) -> bool:
        """Every queue of ours has dead letters behind it, so rejected messages are left to SQS."""
        return True

    def _receive_message(
        self,
        queue: str,
        max_number_of_messages: int = 1,
        wait_time_seconds: int | None = None,  # noqa: ARG002  # kombu's signature
    ) -> dict[str, Any]:
        """Receive as the settings say: kombu leaves the visibility to what the queue has set."""
        settings = get_settings()
        if not all(gate() for gate in gates):
            time.sleep(_CLOSED_S)
            return {}
        last_look[queue] = time.monotonic()
        if flags.paused(settings, queue):
            self._is_well(queue)  # and told to wait
            time.sleep(_PAUSED_S)
            return {}
        try:
            answer: dict[str, Any] = self.sqs().receive_message(
                QueueUrl=self._new_queue(queue),  # type: ignore[func-returns-value]  # it does
                MaxNumberOfMessages=max_number_of_messages,
                WaitTimeSeconds=settings.receive_wait_s,
                VisibilityTimeout=settings.visibility_timeout_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        except (ClientError, BotoCoreError) as error:
            RECEIVE_ERRORS.labels(queue).inc()
            _log.warning("receive_failed", queue=queue, error=str(error), pause_s=self._pause_s)
            time.sleep(self._pause_s)
            self._pause_s = min(_MAX_PAUSE_S, self._pause_s * 2)
            return {}
        self._pause_s = _MIN_PAUSE_S
        self._is_well(queue)
        return answer

    def _is_well(self, queue: str) -> None:
        """Say that what receives from a queue works, for the probes and for the alert."""
        last_receive[queue] = time.monotonic()
        LAST_RECEIVE.labels(queue).set_to_current_time()

    def _messages_to_python(self, messages: list[dict[str, Any]], queue: str) -> list[Any]:
        """Decode messages; one that is no task at all is left for the dead-letter queue."""
        payloads = []
        for message in messages:
            try:
                (payload,) = super()._messages_to_python(  # type: ignore[misc]  # not in the stubs
                    [message], queue
                )
                job_id = _arguments(payload).get("job_id")
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                RECEIVE_ERRORS.labels(queue).inc()
                _log.error("message_unreadable", queue=queue, error=str(error))
            else:
                receipt = Receipt.of_message(payload["properties"])
                if receipt:
                    receipt = replace(receipt, job_id=None if job_id is None else str(job_id))
                    _keeper(get_settings()).keep(receipt)
                payloads.append(payload)
        return payloads

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Delete the message soon, by the batch; its visibility needs no more renewing.

        Where that fails, SQS delivers it again, and the task finds its work done.
        """
        receipt = _keeper(get_settings()).release(delivery_tag)
        if receipt is not None:
            _deletion(get_settings()).add(receipt)
            super(SQS.Channel, self).basic_ack(delivery_tag, multiple)
            return
        try:
            super().basic_ack(delivery_tag, multiple)  # let go before it was done
        except (ClientError, BotoCoreError) as error:
            _log.warning("not_deleted", error=str(error))

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Leave the message to SQS; its visibility is no longer renewed.

        Celery wants it back in the queue where the child died that worked on it. It comes back with
        backoff, as itself: kombu would send a copy, whose receives count from one again, so that
        a file that kills its workers would never be a dead letter.
        """
        receipt = _keeper(get_settings()).release(delivery_tag)
        if requeue and receipt:
            _log.warning("worker_lost", delay_s=give_back(get_settings(), receipt))
        super().basic_reject(delivery_tag, requeue=False)

    def _restore(self, message: Any, *_: Any) -> None:
        """Make an unfinished message of a channel that closes visible again; kombu sends a copy."""
        receipt = Receipt.of_message({"delivery_info": message.delivery_info})
        if receipt and _keeper(get_settings()).release(receipt.handle):
            give_back(get_settings(), receipt, delay_s=0)


class Transport(SQS.Transport):
    """SQS over botocore, synchronous."""

    Channel = Channel
    implements = SQS.Transport.implements.extend(asynchronous=False)
