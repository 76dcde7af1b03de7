"""The intake process: long-polls the uploads queue and turns each message into jobs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from shared import aws, deletion, flags, measures, presence, queues, series, tracing
from shared.errors import Permanent, Retryable, SetupError, WrongBucket
from shared.jobs import JobStore
from shared.settings import Settings
from shared.telemetry import EVENTS, LAST_RECEIVE, RECEIVE_ERRORS, RETRIES
from shared.visibility import wait_s
from workers import health
from workers.intake import admission, events
from workers.intake.outgoing import Outgoing

#: Port of /health, /ready and /metrics.
PORT = 9100
_MIN_PAUSE_S = 0.5
_MAX_PAUSE_S = 30.0
#: Rest between two looks at a paused queue's flag.
_PAUSED_S = 1.0
_MISSED_POLLS = 3
_MAX_ATTRIBUTE = 256
Message = dict[str, Any]
_log = structlog.get_logger()


def run(settings: Settings) -> None:
    """Take in uploads until SIGTERM; what is in hand then is finished first.

    Raises:
        SetupError: The queue does not exist.
    """
    tracing.configure(settings, "intake")
    intake = aws.patiently(lambda: _Intake(settings))
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(intake.run())


class _Intake:
    """One consumer of the uploads queue."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue = settings.queue("uploads")
        self._url = queues.queue_url(settings, self._queue)
        self._dead_url = queues.queue_url(settings, settings.dead_letter_queue("uploads"))
        self._stop = asyncio.Event()
        self._batch = min(aws.SQS_BATCH, settings.intake_concurrency)
        #: Messages handled at once; the batches in hand are just enough to fill these places.
        self._places = asyncio.Semaphore(settings.intake_concurrency)
        self._free = asyncio.Semaphore(-(-settings.intake_concurrency // self._batch))
        self._heard = 0.0
        self._looked = time.monotonic()
        self._pause_s = _MIN_PAUSE_S
        self._sqs: Any = None
        self._desk: Any = None

    async def run(self) -> None:
        """Consume until stopped."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None, "run() is awaited"
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._on_signal, task)
        series.begin(self._queue, "intake")
        port = PORT if self._settings.metrics_port is None else self._settings.metrics_port
        server = health.start(port, self._is_ready, self._settings.host, alive=self._is_alive)
        leaving = threading.Event()
        presence.announce(self._settings, "intake", list, leaving)
        _log.info("intake_starting", queue=self._queue, port=server.server_port)
        try:
            async with (
                aws.async_client(self._settings, "sqs") as self._sqs,
                aws.async_client(self._settings, "s3") as s3,
                asyncio.TaskGroup() as batches,
            ):
                store, outgoing = JobStore(self._settings), Outgoing(self._settings)
                self._desk = admission.Desk(self._settings, s3, store, outgoing)
                _log.info("intake_listening", queue=self._queue)
                while not self._stop.is_set():
                    self._looked = time.monotonic()
                    if await self._is_paused():
                        continue
                    await self._free.acquire()
                    messages = await self._receive()
                    if not messages:
                        self._free.release()
                        continue
                    batches.create_task(self._take_batch(messages))
        finally:
            leaving.set()
            server.shutdown()
            server.server_close()
        _log.info("intake_stopped")

    def _on_signal(self, task: asyncio.Task[Any]) -> None:
        """Stop at the first signal; drop everything at the second: SQS delivers it again."""
        if self._stop.is_set():
            task.cancel()
        self._stop.set()

    async def _is_paused(self) -> bool:
        """Rest for a moment where an operator has paused the queue."""
        if not await asyncio.to_thread(flags.paused, self._settings, self._queue):
            return False
        self._is_well()  # and told to wait
        await self._rest(_PAUSED_S)
        return True

    def _is_well(self) -> None:
        """Say that receiving works, for the probes and for the alert."""
        self._heard = time.monotonic()
        LAST_RECEIVE.labels(self._queue).set_to_current_time()

    async def _rest(self, pause_s: float) -> None:
        """Do nothing for a while, or until the stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), pause_s)

    def _is_ready(self) -> bool:
        patience_s = _MISSED_POLLS * (self._settings.receive_wait_s + 10)
        return time.monotonic() - self._heard < patience_s and self._heard > 0

    def _is_alive(self) -> bool:
        return time.monotonic() - self._looked < health.STUCK_S

    async def _receive(self) -> list[Message]:
        """Long-poll once; a failure is counted and followed by a pause, and never ends the loop.

        A stop waits for the poll, `receive_wait_s` at most, to hand back what it brings: SQS does
        not notice a cut, and would hide the next messages behind it for a whole visibility timeout.
        """
        try:
            answer = await self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=self._batch,
                WaitTimeSeconds=self._settings.receive_wait_s,
                VisibilityTimeout=self._settings.visibility_timeout_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        except (ClientError, BotoCoreError, OSError) as error:
            RECEIVE_ERRORS.labels(self._queue).inc()
            _log.warning("receive_failed", error=str(error), pause_s=self._pause_s)
            await self._rest(self._pause_s)
            self._pause_s = min(_MAX_PAUSE_S, self._pause_s * 2)
            return []
        self._pause_s = _MIN_PAUSE_S
        self._is_well()
        messages: list[Message] = answer.get("Messages", [])
        return messages

    async def _take_batch(self, messages: list[Message]) -> None:
        """Take in a batch and delete what is done in one call."""
        try:
            done = await asyncio.gather(*(self._in_turn(message) for message in messages))
            finished = [message for message, ok in zip(messages, done, strict=True) if ok]
            if finished:
                await self._delete(finished)
        finally:
            self._free.release()

    async def _in_turn(self, message: Message) -> bool:
        """Wait for a place, then take in one message; a stop hands back what has none yet."""
        async with self._places:
            if self._stop.is_set():
                await self._give_back(message, 0)
                return False
            return await self._take(message)

    async def _take(self, message: Message) -> bool:
        """Take in one message; True when it may be deleted."""
        try:
            with self._desk.outgoing.in_hand():
                await self._take_uploads(events.parse(message["Body"]), message["MessageId"])
        except (Retryable, SetupError) as error:
            EVENTS.labels("retried").inc()
            RETRIES.labels("intake").inc()
            attempt = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
            delay_s = wait_s(self._settings, error, attempt) or 0
            _log.warning("intake_retry", error=error.message, delay_s=delay_s)
            await self._give_back(message, delay_s)
            return False
        except Permanent as error:
            return await self._bury(message, error)
        except Exception:  # noqa: BLE001  # one message must not end the process
            EVENTS.labels("failed").inc()
            _log.exception("intake_failed")  # SQS brings it again, then keeps it as a dead letter
            return False
        return True

    async def _take_uploads(self, parsed: events.Parsed, event: str) -> None:
        """Take in all uploads of a message; one that is not ours does not hold up the others.

        Raises:
            WrongBucket: One of them was not ours; the others are done.
            Retryable: A passing fault; the message must come again.
        """
        for kind, count in parsed.ignored.items():
            EVENTS.labels("ignored").inc(count)
            _log.debug("ignored", kind=kind, count=count)
        foreign: WrongBucket | None = None
        for upload in parsed.uploads:
            try:
                with tracing.span(upload.job_id, "intake"):
                    await admission.take_in(self._desk, upload, event)
            except WrongBucket as error:
                foreign = error
        if foreign:
            raise foreign

    async def _bury(self, message: Message, error: Permanent) -> bool:
        """Keep what we cannot understand as a dead letter with its cause; send first."""
        try:
            await self._sqs.send_message(
                QueueUrl=self._dead_url,
                MessageBody=message["Body"],
                MessageAttributes={
                    "code": {"DataType": "String", "StringValue": error.code},
                    "cause": {"DataType": "String", "StringValue": error.message[:_MAX_ATTRIBUTE]},
                },
            )
        except (ClientError, BotoCoreError, OSError) as failure:
            _log.warning("dead_letter_not_sent", error=str(failure))
            return False
        EVENTS.labels("dead_letter").inc()
        measures.dead_letter("uploads", error)
        _log.warning("dead_letter", code=error.code, error=error.message)
        return True

    async def _give_back(self, message: Message, delay_s: int) -> None:
        """Make a message visible again after a while; if that fails, its time-out does."""
        try:
            await self._sqs.change_message_visibility(
                QueueUrl=self._url,
                ReceiptHandle=message["ReceiptHandle"],
                VisibilityTimeout=delay_s,
            )
        except (ClientError, BotoCoreError, OSError) as error:
            _log.warning("message_not_given_back", error=str(error))

    async def _delete(self, messages: list[Message]) -> None:
        entries = [
            {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
            for index, message in enumerate(messages)
        ]
        try:
            answer = await self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
        except (ClientError, BotoCoreError, OSError) as error:
            _log.warning("not_deleted", count=len(entries), error=str(error))
            return
        deletion.note_kept(answer)
