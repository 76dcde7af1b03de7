"""Work spread over processes that inherit what they need instead of being sent it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_inherited: list[Callable[[Any], Any]] = []


def spread(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> list[Result]:
    """Return the results in the order of the items.

    The processes are forked, so this process must not have used a GPU before; they may.

    Args:
        work: What is done with one item; it may hold anything, items and results are pickled.
        items: What there is to do.
        jobs: Processes; 1 does it all in this one.
    """
    if jobs <= 1 or len(items) <= 1:
        return [work(item) for item in items]
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, fork, _inherited.append, (work,)) as pool:
        return list(pool.map(_do, items))


def _do(item: Any) -> Any:
    return _inherited[-1](item)
