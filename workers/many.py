"""One analysis over many files: a process a core, and no file that ends the work on the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from shared.cores import cores
from shared.errors import DecoderTimeout, GuardianError, Permanent

Task = TypeVar("Task")
Result = TypeVar("Result")
#: Called with how many files are done, and how many there are.
Told = Callable[[int, int], object]

#: What may be wrong with one file.
FAULTS = (Permanent, DecoderTimeout, OSError)


def silent(done: int, of: int) -> None:
    """Tell nobody."""


def each(
    analyze: Callable[[Task], Result],
    tasks: Sequence[Task],
    lost: Callable[[Task], Result],
    processes: int | None = None,
    *,
    told: Told = silent,
) -> list[Result]:
    """Analyse each task, in processes of their own, and return the results in order.

    Where the kernel kills a process, for its memory, say, what was in hand is done again, each task
    alone: the one that ends its process there, too, is lost, and no other.

    Args:
        analyze: Takes one task; a function of a module.
        tasks: What is to be done.
        lost: Returns what stands for a task whose process was killed.
        processes: How many processes; None for one a core of this pod.
        told: Called at the start and whenever another result is there.
    """
    results: dict[int, Result] = {}

    def keep(index: int, result: Result) -> None:
        results[index] = result
        told(len(results), len(tasks))

    told(0, len(tasks))
    while waiting := [index for index in range(len(tasks)) if index not in results]:
        for index in _until_broken(analyze, tasks, waiting, processes or cores(), keep):
            if _until_broken(analyze, tasks, [index], 1, keep):
                keep(index, lost(tasks[index]))
    return [results[index] for index in range(len(tasks))]


def _until_broken(
    analyze: Callable[[Task], Result],
    tasks: Sequence[Task],
    waiting: Sequence[int],
    processes: int,
    keep: Callable[[int, Result], None],
) -> list[int]:
    """Analyse tasks until all are done or a process is killed; return what was in hand then."""
    spawn = get_context("spawn")  # ONNX Runtime's threads do not survive a fork
    coming, in_hand = iter(waiting), dict[Future[Result], int]()
    with ProcessPoolExecutor(processes, spawn) as pool:
        try:
            while True:
                for index in islice(coming, processes - len(in_hand)):
                    in_hand[pool.submit(analyze, tasks[index])] = index
                if not in_hand:
                    return []
                for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
                    keep(in_hand[future], future.result())
                    del in_hand[future]
        except BrokenProcessPool:
            return list(in_hand.values())


def reason(fault: Exception) -> str:
    """Return why one of `FAULTS` leaves a file without a result, as a code."""
    if isinstance(fault, GuardianError):
        return fault.code
    text = fault.strerror if isinstance(fault, OSError) else None
    return f"unreadable: {text or fault}"
