"""One analysis over many files: a process a core, and no file that ends the work on the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

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
    processes: int | None = None,
    *,
    told: Told = silent,
    begin: tuple[Callable[..., object], Any] | None = None,
) -> list[Result]:
    """Analyse each task, in processes of their own, and return the results in order.

    Args:
        analyze: Takes one task; a function of a module.
        tasks: What is to be done.
        processes: How many processes; None for one a core of this pod.
        told: Called at the start and whenever the next result is there.
        begin: What each process calls first, and its argument.
    """
    start, *arguments = begin or (None,)
    spawn = get_context("spawn")  # ONNX Runtime's threads do not survive a fork
    results: list[Result] = []
    told(0, len(tasks))
    with ProcessPoolExecutor(processes or cores(), spawn, start, tuple(arguments)) as pool:
        for result in pool.map(analyze, tasks):
            results.append(result)
            told(len(results), len(tasks))
    return results


def reason(fault: Exception) -> str:
    """Return why one of `FAULTS` leaves a file without a result, as a code."""
    if isinstance(fault, GuardianError):
        return fault.code
    text = fault.strerror if isinstance(fault, OSError) else None
    return f"unreadable: {text or fault}"
