"""Requests analysed at the same time share runs of the network, each with its own answer."""

import threading
import time

import numpy as np
import pytest
from prometheus_client import REGISTRY

from shared.batching import MAX_ROWS, Counted, Shared

pytestmark = pytest.mark.unit


class Doubling:
    """A network that takes a while and says how much it was given."""

    def __init__(self, error=None):
        self.sizes = []
        self.error = error

    def get_inputs(self):
        return ["x"]

    def run(self, outputs, feeds):
        (rows,) = feeds.values()
        self.sizes.append(len(rows))
        time.sleep(0.01)
        if self.error:
            raise self.error
        return [rows * 2, rows[:, 0]]


def ask_together(network, requests):
    answers = [None] * len(requests)
    ready = threading.Barrier(len(requests))

    def ask(place, rows):
        with network.member():
            ready.wait()
            try:
                answers[place] = network.run(None, {"x": rows})
            except ValueError as error:
                answers[place] = error

    threads = [
        threading.Thread(target=ask, args=(place, rows)) for place, rows in enumerate(requests)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return answers


def test_requests_at_the_same_time_share_a_run_and_get_their_own_rows():
    inner = Doubling()
    requests = [np.full((count, 3), value) for value, count in ((1, 2), (2, 1), (3, 4))]
    answers = ask_together(Shared(inner), requests)

    for rows, (doubled, first) in zip(requests, answers, strict=True):
        assert np.array_equal(doubled, rows * 2)
        assert np.array_equal(first, rows[:, 0])
    assert sum(inner.sizes) == 7
    assert len(inner.sizes) < 3


@pytest.mark.alone
def test_one_alone_does_not_wait():
    inner = Doubling()
    network = Shared(inner)
    with network.member():
        began = time.perf_counter()
        network.run(None, {"x": np.ones((1, 1))})
    assert time.perf_counter() - began < 0.02 + 0.01
    assert network.get_inputs() == ["x"]


def test_shapes_that_differ_and_batches_that_would_be_too_large_run_apart():
    inner = Doubling()
    network = Shared(inner)
    large = [np.ones((MAX_ROWS - 1, 2)), np.ones((MAX_ROWS - 1, 2)), np.ones((1, 5))]
    answers = ask_together(network, large)

    assert sorted(inner.sizes) == [1, MAX_ROWS - 1, MAX_ROWS - 1]
    assert [answer[0].shape for answer in answers] == [rows.shape for rows in large]


def test_a_run_that_fails_fails_for_all_who_share_it():
    answers = ask_together(Shared(Doubling(ValueError("no"))), [np.ones((1, 1))] * 3)

    assert [str(answer) for answer in answers] == ["no"] * 3


def test_runs_are_counted_by_their_size():
    def total():
        return REGISTRY.get_sample_value("guardian_batch_size_sum", {"modality": "audio"}) or 0

    before = total()
    Counted(Doubling(), "audio").run(None, {"x": np.ones((5, 1))})

    assert total() - before == 5
