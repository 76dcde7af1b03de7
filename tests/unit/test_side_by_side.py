"""Rows of a batch run side by side, on a real network and on one that can be watched."""

import threading

import numpy as np
import pytest

from shared.models import Registry
from shared.side_by_side import SideBySide

pytestmark = pytest.mark.unit


class Watched:
    """Answers twice the rows; keeps the sizes of what it was given, and may wait or fail."""

    def __init__(self, together=1, fails_on=None):
        self.sizes = []
        self.threads = set()
        self._meeting = threading.Barrier(together, timeout=10)
        self._fails_on = fails_on

    def run(self, _outputs, feeds):
        (rows,) = feeds.values()
        self.sizes.append(len(rows))
        self.threads.add(threading.current_thread())
        self._meeting.wait()
        if rows[0, 0] == self._fails_on:
            raise MemoryError("no room for the row")
        return [2 * rows, rows[:, :1]]


def _rows(count):
    return np.arange(count, dtype=np.float32)[:, None] * np.ones(3, np.float32)


@pytest.mark.parametrize(("threads", "count"), [(1, 1), (1, 3), (2, 1), (2, 5), (4, 3)])
def test_answers_are_in_the_order_of_the_rows(threads, count):
    network = Watched()
    twice, first = SideBySide(network, threads).run(["twice", "first"], {"rows": _rows(count)})
    np.testing.assert_array_equal(twice, 2 * _rows(count))
    np.testing.assert_array_equal(first, _rows(count)[:, :1])
    assert network.sizes == [1] * count


def test_as_many_rows_as_there_are_threads_run_at_the_same_time():
    network = Watched(together=2)  # a row waits there until another one has come
    SideBySide(network, 2).run(None, {"rows": _rows(4)})
    assert len(network.threads) == 2


def test_one_thread_is_the_one_that_asks():
    network = Watched()
    SideBySide(network, 1).run(None, {"rows": _rows(2)})
    assert network.threads == {threading.current_thread()}


@pytest.mark.parametrize("threads", [1, 2])
def test_what_goes_wrong_with_a_row_reaches_the_caller(threads):
    with pytest.raises(MemoryError, match="no room"):
        SideBySide(Watched(fails_on=1), threads).run(None, {"rows": _rows(3)})


def test_scores_do_not_depend_on_the_company_or_on_the_threads():
    faces = np.random.default_rng(0).uniform(-1, 1, (3, 3, 160, 160)).astype(np.float32)
    one, two = (Registry(device="cpu", threads=n).scorer("face-detector") for n in (1, 2))
    together, _ = two.run(["score", "distance"], {"faces": faces})
    alone = [one.run(["score", "distance"], {"faces": faces[n : n + 1]})[0] for n in range(3)]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    assert one.get_inputs()[0].name == "faces"
