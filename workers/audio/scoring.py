"""Scores windows by the batch in a thread beside the one that decodes and looks for speech."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shared.media import PCM_RATE
from shared.models import on_gpu
from workers.audio.closer import Place
from workers.audio.pooling import Scored
from workers.audio.windows import GAP, HALF, Window

#: Windows scored in one run of the network, for each thread of a CPU, and on a GPU; bounds memory.
#: On an H200, a window took 3.2 ms of 4 at once and 0.45 ms of 64 (`scripts/bench audio --gpu`).
THREAD_BATCH, GPU_BATCH = 2, 64
#: Windows of one stretch (10 min of speech), of which one place is kept: a closer look at it takes
#: up to 7 windows more. No more than `PLACES` are kept, those that sound most synthetic.
STRETCH, PLACES = 150, 8

Floats = NDArray[np.float32]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Halves:
    """What the network said about the two halves of a window."""

    window: Window
    scores: Floats
    distances: Floats

    def touches(self, later: Halves) -> bool:
        """Whether the later window begins about where this one ends, so that halves can join."""
        pause = later.window.start - self.window.end
        return self.window.is_full and later.window.is_full and 0 <= pause <= GAP

    def whole(self) -> Scored:
        """Return what follows for the window."""
        return Scored(
            start_s=self.window.start / PCM_RATE,
            end_s=self.window.end / PCM_RATE,
            speech_s=self.window.speech_s,
            score=float(self.scores.mean()),
            distance=float(self.distances.mean()),
        )

    def joined(self, later: Halves) -> Scored:
        """Return what follows for the window between: second half of this, first of that."""
        return Scored(
            start_s=(self.window.start + HALF) / PCM_RATE,
            end_s=(later.window.start + HALF) / PCM_RATE,
            speech_s=(self.window.speech_s + later.window.speech_s) / 2,
            score=float(self.scores[1] + later.scores[0]) / 2,
            distance=float(self.distances[1] + later.distances[0]) / 2,
        )


def run(network: Any, windows: list[Floats]) -> tuple[Floats, Floats]:
    """Return score and distance from the training data, (windows, 2): of each window's halves."""
    scores, distances = network.run(
        ["score", "distance"], {"samples": np.stack(windows).astype(np.float32)}
    )
    return scores, distances


class Scoring:
    """Takes windows in order; at most one batch is at the network and one is filling.

    Use it as a context: its thread ends with it.

    Attributes:
        waited_ms: Time that whoever gives the windows has waited for the network.
        places: Where each stretch sounds most synthetic, with its sound.
    """

    def __init__(self, network: Any, clock: Clock) -> None:
        """Score with a network that `Registry.scorer` opened."""
        self.waited_ms = 0.0
        self.places: list[Place] = []
        self._network, self._clock = network, clock
        self._batch = GPU_BATCH if on_gpu(network) else THREAD_BATCH * network.threads
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="score")
        self._waiting: list[Window] = []
        self._running: Future[list[Halves]] | None = None
        self._last: Halves | None = None
        self._scored: list[Scored] = []
        self._hottest: Place | None = None
        self._seen = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread; a batch that is at the network is waited for."""
        self._thread.shutdown(cancel_futures=True)

    def add(self, window: Window) -> None:
        """Take a window; raises what went wrong with an earlier batch."""
        self._waiting.append(window)
        if len(self._waiting) == self._batch:
            self._send()

    def finish(self) -> list[Scored]:
        """Return all windows, and those between windows that follow each other, in order."""
        if self._waiting:
            self._send()
        self._collect()
        self._keep()
        return self._scored

    def _send(self) -> None:
        self._collect()
        batch, self._waiting = self._waiting, []
        self._running = self._thread.submit(self._score, batch)

    def _score(self, windows: list[Window]) -> list[Halves]:
        scores, distances = run(self._network, [window.samples for window in windows])
        return [Halves(*found) for found in zip(windows, scores, distances, strict=True)]

    def _collect(self) -> None:
        if self._running is None:
            return
        started = self._clock()
        found = self._running.result()
        self.waited_ms += (self._clock() - started) * 1000
        for halves in found:
            windows: tuple[Window, ...] = (halves.window,)
            if self._last and self._last.touches(halves):
                windows = (self._last.window, halves.window)
                if self._hottest and self._hottest.reaches(self._last.window):
                    self._hottest = self._hottest.with_next(halves.window)
                self._take(self._last.joined(halves), windows)
            self._take(halves.whole(), windows)
            self._last = halves
            self._seen += 1
            if self._seen % STRETCH == 0:
                self._keep()
        self._running = None

    def _take(self, scored: Scored, windows: tuple[Window, ...]) -> None:
        self._scored.append(scored)
        if self._hottest is None or scored.score > self._hottest.hottest.score:
            self._hottest = Place(scored, windows)

    def _keep(self) -> None:
        """Keep the place of the stretch that ends."""
        if self._hottest:
            self.places.append(self._hottest)
            self.places.sort(key=lambda place: -place.hottest.score)
            del self.places[PLACES:]
        self._hottest = None
