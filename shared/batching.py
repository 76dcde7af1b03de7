"""The scoring networks as processes use them: runs are counted, and may be shared by requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.models import Registry
from shared.telemetry import BATCH_SIZE, MODEL_LOAD_SECONDS

#: Rows of one shared run at most; bounds memory.
MAX_ROWS = 64
#: How long a run waits for other requests that are being analysed.
_WAIT_S = 0.01
Array = NDArray[Any]


class Counted:
    """A network whose runs are counted by the size of their batch."""

    def __init__(self, session: Any, modality: str) -> None:
        """Wrap a session; `modality` is the label."""
        self._session = session
        self._sizes = BATCH_SIZE.labels(modality)

    def __getattr__(self, name: str) -> Any:
        """Be the session in all else."""
        return getattr(self._session, name)

    def run(self, outputs: list[str] | None, feeds: Mapping[str, Any]) -> Any:
        """Run the network, and note along the first axis how much it was given."""
        self._sizes.observe(len(next(iter(feeds.values()))))
        return self._session.run(outputs, feeds)


@dataclass
class _Part:
    """What one request wants scored, and the answer."""

    outputs: list[str] | None
    feed: str
    rows: Array
    done: threading.Event = field(default_factory=threading.Event)
    answer: list[Array] | None = None
    error: BaseException | None = None

    def joins(self, other: _Part) -> bool:
        """Whether both can be scored in one run."""
        kinds = [(p.outputs, p.feed, p.rows.shape[1:], p.rows.dtype) for p in (self, other)]
        return kinds[0] == kinds[1]


class Shared:
    """A network that scores what several requests want at the same time in one run.

    A request that is alone never waits. Where others are being analysed, the first to come waits
    until all have come, for 10 ms at most, and runs the network for all of them.
    """

    def __init__(self, session: Any) -> None:
        """Wrap a session with one input whose first axis is free."""
        self._session = session
        self._lock = threading.Condition()
        self._running = threading.Lock()
        self._parts: list[_Part] = []
        self._members = 0

    def __getattr__(self, name: str) -> Any:
        """Be the session in all else."""
        return getattr(self._session, name)

    @contextmanager
    def member(self) -> Iterator[None]:
        """Say that a request is being analysed, so that others wait for it."""
        with self._lock:
            self._members += 1
        try:
            yield
        finally:
            with self._lock:
                self._members -= 1
                self._lock.notify_all()

    def run(self, outputs: list[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """Score rows, together with those of others."""
        ((feed, rows),) = feeds.items()
        part = _Part(outputs, feed, rows)
        with self._lock:
            self._parts.append(part)
            self._lock.notify_all()
        with self._running:
            if not part.done.is_set():
                self._score(self._gather(part))
        if part.error:
            raise part.error
        assert part.answer is not None
        return part.answer

    def _gather(self, first: _Part) -> list[_Part]:
        """Wait for others for a moment, and take out what goes into one run with the first."""
        end = time.monotonic() + _WAIT_S
        with self._lock:
            while len(self._parts) < self._members:
                if not self._lock.wait(end - time.monotonic()) or time.monotonic() >= end:
                    break
            taken, rows = [first], len(first.rows)
            for part in self._parts:
                if part is first or not part.joins(first) or rows + len(part.rows) > MAX_ROWS:
                    continue
                taken.append(part)
                rows += len(part.rows)
            self._parts = [part for part in self._parts if all(part is not one for one in taken)]
        return taken

    def _score(self, parts: list[_Part]) -> None:
        """Run the network once, and give each request its own rows."""
        try:
            answers = self._session.run(
                parts[0].outputs, {parts[0].feed: np.concatenate([part.rows for part in parts])}
            )
        except Exception as error:  # noqa: BLE001  # whoever waits for it must learn of it
            for part in parts:
                part.error = error
        else:
            start = 0
            for part in parts:
                part.answer = [answer[start : start + len(part.rows)] for answer in answers]
                start += len(part.rows)
        for part in parts:
            part.done.set()


class CountedRegistry(Registry):
    """A registry whose scoring networks are counted."""

    def scorer(self, name: str) -> Any:
        """Open a scoring network, as the registry does."""
        return Counted(super().scorer(name), self.entry(name).modality)


class SharedRegistry(CountedRegistry):
    """A registry whose scoring networks are counted, and shared by requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what a registry takes."""
        super().__init__(*args, **kwargs)
        self._shared: list[Shared] = []

    def scorer(self, name: str) -> Any:
        """Open a scoring network, as the registry does."""
        self._shared.append(Shared(super().scorer(name)))
        return self._shared[-1]

    @contextmanager
    def member(self) -> Iterator[None]:
        """Say that a request is being analysed with these networks."""
        with ExitStack() as stack:
            for shared in self._shared:
                stack.enter_context(shared.member())
            yield


@contextmanager
def timed_load(modality: str) -> Iterator[None]:
    """Write down how long the models of a half take to load."""
    began = time.perf_counter()
    yield
    MODEL_LOAD_SECONDS.labels(modality).set(time.perf_counter() - began)
