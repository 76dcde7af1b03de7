"""How deep each queue is, for people and for scripts."""

from __future__ import annotations

from shared import aws
from shared.queues import queue_url
from shared.records import Record
from shared.settings import QUEUES, Settings

_ATTRIBUTES = {
    "ApproximateNumberOfMessages": "visible",
    "ApproximateNumberOfMessagesNotVisible": "in_flight",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}


class QueueDepth(Record):
    """SQS's approximate counts of one queue and its dead letters."""

    name: str
    visible: int
    in_flight: int
    delayed: int
    dead: int


def measure(settings: Settings) -> list[QueueDepth]:
    """Ask SQS for the counts of every queue.

    Raises:
        ServiceUnavailable: SQS could not be reached.
        SetupError: A queue does not exist.
    """
    return [_measure_one(settings, name) for name in QUEUES]


def backlog(settings: Settings, name: str) -> int:
    """Return how many messages of queue `name` no worker has taken yet.

    Raises:
        ServiceUnavailable: SQS could not be reached.
        SetupError: The queue does not exist.
    """
    return _counts(settings, settings.queue(name))["visible"]


def _measure_one(settings: Settings, name: str) -> QueueDepth:
    counts = _counts(settings, settings.queue(name))
    dead = _counts(settings, settings.dead_letter_queue(name))
    return QueueDepth(name=settings.queue(name), dead=sum(dead.values()), **counts)


def _counts(settings: Settings, queue: str) -> dict[str, int]:
    with aws.translated(f"measuring queue {queue}"):
        answer = aws.client(settings, "sqs").get_queue_attributes(
            QueueUrl=queue_url(settings, queue), AttributeNames=list(_ATTRIBUTES)
        )
    return {short: int(answer["Attributes"][name]) for name, short in _ATTRIBUTES.items()}
