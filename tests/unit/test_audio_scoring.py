"""Windows at the network while the next are heard: order, joints, faults."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from shared.media import PCM_RATE
from workers.audio.scoring import GPU_BATCH, THREAD_BATCH, Halves, Scoring
from workers.audio.windows import WINDOW, Window

THREADS = 2
BATCH = THREADS * THREAD_BATCH


class Network:
    """Gives both halves of a window its first sample as score; keeps the sizes of its batches."""

    threads = THREADS

    def __init__(self, fails_at: int | None = None, provider: str = "CPU") -> None:
        self.sizes: list[int] = []
        self._fails_at = fails_at
        self._provider = provider

    def get_providers(self) -> list[str]:
        return [f"{self._provider}ExecutionProvider"]

    def run(self, _outputs: list[str], feeds: dict[str, Any]) -> tuple[Any, Any]:
        if len(self.sizes) == self._fails_at:
            raise MemoryError("no room for the batch")
        samples = feeds["samples"]
        self.sizes.append(len(samples))
        first = np.repeat(samples[:, :1], 2, axis=1)
        return first, np.ones_like(first)


def _window(number: int, start_s: float) -> Window:
    start = int(start_s * PCM_RATE)
    return Window(start, start + WINDOW, 4.0, np.full(WINDOW, number, np.float32))


def _halves(start_s: float, scores: tuple[float, float]) -> Halves:
    return Halves(_window(0, start_s), np.array(scores), np.array([1.0, 2.0]))


def _no_clock() -> float:
    return 0.0


def test_windows_side_by_side_give_the_one_between():
    first, second, late = _halves(1, (0.0, 1.0)), _halves(5, (3.0, 7.0)), _halves(9.6, (0.0, 0.0))
    assert first.touches(second)
    assert not second.touches(late)
    between = first.joined(second)
    assert (between.start_s, between.end_s, between.score) == (3, 7, 2.0)
    assert (first.whole().score, second.whole().score) == (0.5, 5.0)


@pytest.mark.parametrize("count", [0, 1, BATCH, 2 * BATCH + 1])
def test_all_windows_come_back_in_order_however_they_fill_batches(count: int) -> None:
    network = Network()
    with Scoring(network, _no_clock) as scoring:
        for number in range(count):
            scoring.add(_window(number, 10.0 * number))  # far apart: none is between
        scored = scoring.finish()
    assert [item.score for item in scored] == list(range(count))
    assert sum(network.sizes) == count
    assert all(size <= BATCH for size in network.sizes)


def test_a_gpu_is_given_more_windows_at_once() -> None:
    network = Network(provider="CUDA")
    with Scoring(network, _no_clock) as scoring:
        for number in range(GPU_BATCH + 1):
            scoring.add(_window(number, 10.0 * number))
        scored = scoring.finish()
    assert network.sizes == [GPU_BATCH, 1]
    assert [item.score for item in scored] == list(range(GPU_BATCH + 1))


def test_the_window_between_two_batches_is_there_too() -> None:
    with Scoring(Network(), _no_clock) as scoring:
        for number in range(BATCH + 1):
            scoring.add(_window(number, 4.0 * number))
        scored = scoring.finish()
    assert [item.score for item in scored] == [half / 2 for half in range(2 * BATCH + 1)]


def test_what_goes_wrong_at_the_network_reaches_the_caller_and_ends_the_thread() -> None:
    scoring = Scoring(Network(fails_at=1), _no_clock)
    with pytest.raises(MemoryError, match="no room"), scoring:
        for number in range(4 * BATCH):
            scoring.add(_window(number, 10.0 * number))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("score")]


def test_waiting_for_the_network_is_counted() -> None:
    ticks = iter(range(100))
    with Scoring(Network(), lambda: float(next(ticks))) as scoring:
        scoring.add(_window(0, 0.0))
        scoring.finish()
    assert scoring.waited_ms == 1000.0
