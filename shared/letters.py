"""Dead letters: read what lies in a dead-letter queue, send it back, or discard it."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared import aws, repeat
from shared.errors import UnknownJob, UnknownLetter
from shared.jobs import JobStore
from shared.queues import AUDIO_TASK, DECIDE_TASK, VIDEO_TASK, queue_url
from shared.records import Job, Outcome, Record
from shared.settings import Settings
from shared.telemetry import passing_over
from shared.visibility import Receipt, give_back

#: A receive that waits asks all servers of SQS, one that does not asks some: only of the first kind
#: does an empty answer mean an empty queue. In seconds.
_WAIT_S = 1
#: How long a list, and what moves letters, keep messages from other readers, in seconds: what is
#: not meant comes again only after the look, which puts it back itself.
_LOOK_S, _MOVE_S = 30, 300
#: Most letters of a list; what moves letters goes on until the queue is read.
MAX_LETTERS = 200


class Letter(Record):
    """One dead message, readable."""

    message_id: str
    queue: str
    sent_at: datetime
    receives: int
    cause: str
    code: str
    job_id: str | None = None
    task: str | None = None
    body: str


@dataclass(frozen=True)
class _Held:
    """A letter, without the cause that its job knows, and the receipt that it is held with."""

    letter: Letter
    handle: str
    raw: dict[str, Any]


def read(settings: Settings, queue: str) -> list[Letter]:
    """Return up to `MAX_LETTERS` dead letters of a queue, oldest first, and put them back at once.

    Args:
        settings: Which installation.
        queue: `uploads`, `audio`, `video` or `aggregate`.

    Raises:
        SettingsInvalid: There is no such queue.
        ServiceUnavailable: SQS could not be reached.
    """
    held: list[_Held] = []
    try:
        for batch in _hold(settings, queue, _LOOK_S, MAX_LETTERS):
            held += batch
    finally:
        for one in held:
            _release(settings, queue, one)
    found = (_with_cause(settings, one.letter) for one in held)
    return sorted(found, key=lambda letter: letter.sent_at)


def by_cause(rows: Iterable[Letter]) -> dict[str, int]:
    """Count letters by the code of their cause, most frequent first."""
    return dict(Counter(row.code for row in rows).most_common())


def cut(rows: list[Letter]) -> bool:
    """Tell whether there may be more letters than those that `read` returned."""
    return len(rows) >= MAX_LETTERS


def redrive(
    settings: Settings, queue: str, message_id: str | None = None, code: str | None = None
) -> list[Letter]:
    """Send dead letters back to their queue, and only then remove them.

    Args:
        settings: Which installation.
        queue: Whose dead letters.
        message_id: Only this one; None for all.
        code: Only those with this cause; None for all.

    Raises:
        UnknownLetter: There is no dead letter with that id.
        ServiceUnavailable: SQS could not be reached; what was sent back is said by its absence.
    """
    sqs = aws.client(settings, "sqs")
    target = queue_url(settings, settings.queue(queue))

    def send_back(one: _Held) -> None:
        if one.letter.job_id:
            repeat.reopen_failed(settings, one.letter.job_id, queue)
        attributes = {
            name: {key: value[key] for key in ("DataType", "StringValue") if key in value}
            for name, value in one.raw.get("MessageAttributes", {}).items()
            if "StringValue" in value and name not in ("code", "cause")
        }
        sqs.send_message(QueueUrl=target, MessageBody=one.raw["Body"], MessageAttributes=attributes)

    return _take_out(settings, queue, message_id, code, send_back)


def discard(
    settings: Settings, queue: str, message_id: str | None = None, code: str | None = None
) -> list[Letter]:
    """Remove dead letters for good; those that `redrive` would send back.

    Raises:
        UnknownLetter: There is no dead letter with that id.
        ServiceUnavailable: SQS could not be reached.
    """
    return _take_out(settings, queue, message_id, code, lambda _: None)


def _take_out(
    settings: Settings,
    queue: str,
    message_id: str | None,
    code: str | None,
    act: Callable[[_Held], None],
) -> list[Letter]:
    """Act on each letter meant and remove it, until the queue is read; give the others back.

    Of all, those are meant that were sent before: one that goes back may die anew meanwhile.
    """
    sqs = aws.client(settings, "sqs")
    url = _dead_url(settings, queue)
    began = datetime.now(UTC)
    held: dict[str, _Held] = {}
    done: list[Letter] = []

    def named(letter: Letter) -> bool:
        return letter.message_id == message_id if message_id else letter.sent_at <= began

    try:
        for batch in _hold(settings, queue, _MOVE_S):
            held |= {one.letter.message_id: one for one in batch}
            for one in filter(lambda one: named(one.letter), batch):
                letter = _with_cause(settings, one.letter)
                if code in (None, letter.code):
                    with aws.translated("moving a dead letter"):
                        act(one)
                        sqs.delete_message(QueueUrl=url, ReceiptHandle=one.handle)
                    del held[letter.message_id]
                    done.append(letter)
            if done if message_id else all(one.letter.sent_at > began for one in batch):
                break
    finally:
        for one in held.values():
            _release(settings, queue, one)
    if message_id and not done:
        raise UnknownLetter(f"There is no dead letter {message_id!r} behind {queue}.")
    return done


def _dead_url(settings: Settings, queue: str) -> str:
    return queue_url(settings, settings.dead_letter_queue(queue))


def _hold(
    settings: Settings, queue: str, hold_s: int, limit: float = math.inf
) -> Iterator[list[_Held]]:
    """Receive until nothing new comes; what is held is invisible to others for a while."""
    sqs = aws.client(settings, "sqs")
    url = _dead_url(settings, queue)
    seen: set[str] = set()
    while len(seen) < limit:
        with aws.translated("reading dead letters"):
            answer = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(aws.SQS_BATCH, limit - len(seen)),
                VisibilityTimeout=hold_s,
                WaitTimeSeconds=_WAIT_S,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        fresh = [raw for raw in answer.get("Messages", []) if raw["MessageId"] not in seen]
        if not fresh:
            return
        seen |= {raw["MessageId"] for raw in fresh}
        yield [_Held(_letter(queue, raw), raw["ReceiptHandle"], raw) for raw in fresh]


def _release(settings: Settings, queue: str, one: _Held) -> None:
    """Put a letter back; one that cannot be is back already, or soon by itself."""
    receipt = Receipt(_dead_url(settings, queue), one.handle, one.letter.receives)
    give_back(settings, receipt, delay_s=0)


def _letter(queue: str, raw: dict[str, Any]) -> Letter:
    attributes = raw.get("Attributes", {})
    own = {
        name: value.get("StringValue", "")
        for name, value in raw.get("MessageAttributes", {}).items()
    }
    task, job_id = _task_of(raw["Body"])
    receives = int(attributes.get("ApproximateReceiveCount", 1))
    return Letter(
        message_id=raw["MessageId"],
        queue=queue,
        sent_at=datetime.fromtimestamp(int(attributes.get("SentTimestamp", 0)) / 1000, UTC),
        receives=receives,
        code=own.get("code") or ("task_failed" if task else "not_processed"),
        cause=own.get("cause")
        or (f"{task} failed at every attempt" if task else "no worker finished it"),
        job_id=job_id,
        task=task,
        body=raw["Body"],
    )


def _with_cause(settings: Settings, letter: Letter) -> Letter:
    """Take the cause of a task's death from its job, where the worker wrote it."""
    if letter.job_id is None:
        return letter
    job: Job | None = None
    try:
        with passing_over("job", job_id=letter.job_id):
            job = JobStore(settings).get(letter.job_id)
    except UnknownJob:
        return letter.model_copy(update={"code": "job_gone", "cause": "the job was erased"})
    if job is None:
        return letter
    half = {AUDIO_TASK: job.audio, VIDEO_TASK: job.video}.get(letter.task or "")
    if half is not None and half.outcome is Outcome.FAILED and half.reason:
        return letter.model_copy(update={"code": half.reason, "cause": half.message or half.reason})
    if letter.task == DECIDE_TASK and job.error:
        return letter.model_copy(update={"code": job.error.code, "cause": job.error.message})
    return letter


def _task_of(body: str) -> tuple[str | None, str | None]:
    """Read task name and job id of a Celery message; a message of another kind has neither."""
    try:
        envelope = json.loads(body)
        task = envelope["headers"]["task"]
        inner = envelope["body"]
        if envelope.get("properties", {}).get("body_encoding") == "base64":
            inner = base64.b64decode(inner).decode()
        job_id = json.loads(inner)[1].get("job_id")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None, None
    return str(task), None if job_id is None else str(job_id)
