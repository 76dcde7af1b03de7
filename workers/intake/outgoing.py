"""The tasks that intake asks for, sent by the batch: SQS takes ten messages a call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from shared import queues
from shared.aws import SQS_BATCH
from shared.records import MODALITIES, Modality
from shared.settings import Settings

#: Longest wait for others to send with.
_WAIT_S = 0.1
_Waiting = list[tuple[str, asyncio.Future[None]]]


class Outgoing:
    """Collects what is asked for while several uploads are in hand; one alone never waits."""

    def __init__(self, settings: Settings) -> None:
        """Send to the queues of an installation."""
        self._settings = settings
        self._in_hand = 0
        self._waiting: dict[Modality, _Waiting] = {modality: [] for modality in MODALITIES}
        self._sending = set[asyncio.Task[None]]()

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        """Count a message as one that may still ask for something, until the context ends."""
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1

    async def ask(self, modality: Modality, job_id: str) -> None:
        """Ask for one half of a job, and return when SQS has taken the message.

        Raises:
            ServiceUnavailable: SQS did not take it; ask again later.
        """
        loop, waiting = asyncio.get_running_loop(), self._waiting[modality]
        taken = loop.create_future()
        waiting.append((job_id, taken))
        if len(waiting) >= min(SQS_BATCH, self._in_hand):
            self._send(modality)
        elif len(waiting) == 1:
            loop.call_later(_WAIT_S, self._send, modality)
        await taken

    def _send(self, modality: Modality) -> None:
        batch = self._waiting[modality][:SQS_BATCH]
        del self._waiting[modality][:SQS_BATCH]
        if batch:
            task = asyncio.create_task(self._send_batch(modality, batch))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send_batch(self, modality: Modality, batch: _Waiting) -> None:
        ids = [job_id for job_id, _ in batch]
        try:
            refused = await asyncio.to_thread(queues.send_analyses, self._settings, modality, ids)
        except Exception as error:  # noqa: BLE001  # each of those who wait raises it
            _answer(batch, dict.fromkeys(ids, error))
        else:
            _answer(batch, refused)


def _answer(batch: _Waiting, refused: dict[str, Exception]) -> None:
    """Tell those who wait what has become of their messages; who has left needs no answer."""
    for job_id, taken in batch:
        if taken.done():
            continue
        if job_id in refused:
            taken.set_exception(refused[job_id])
        else:
            taken.set_result(None)
