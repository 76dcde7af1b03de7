"""Work spread over processes comes back in order, and needs nothing sent but its items."""

from __future__ import annotations

import os
import threading

import pytest
from training.spreading import spread

# Python 3.12 warns of forks beside threads; other tests of this process may have left some.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_come_back_in_the_order_of_the_items(jobs: int) -> None:
    cannot_be_sent = threading.Lock()

    def work(item: int) -> tuple[int, int]:
        with cannot_be_sent:
            return item * item, os.getpid()

    found = spread(work, range(7), jobs)
    assert [square for square, _ in found] == [n * n for n in range(7)]
    assert ({pid for _, pid in found} == {os.getpid()}) == (jobs == 1)


def test_a_fault_reaches_the_caller() -> None:
    def work(item: int) -> float:
        return 1 / item

    with pytest.raises(ZeroDivisionError):
        spread(work, [1, 0], 2)
