"""What a piece of work spends: seconds on the clock, and CPU time of this process and children."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Spent:
    """What one piece of work took, in seconds.

    Attributes:
        wall_s: On the clock.
        own_cpu_s: User and system time of this process, all threads.
        child_cpu_s: The same of children that have ended meanwhile.
    """

    wall_s: float
    own_cpu_s: float
    child_cpu_s: float = 0.0

    @property
    def cpu_s(self) -> float:
        """CPU time of all."""
        return self.own_cpu_s + self.child_cpu_s


def measured(work: Callable[[], Result]) -> tuple[Spent, Result]:
    """Do some work and say what it took."""
    began, own, child = time.perf_counter(), _cpu(resource.RUSAGE_SELF), _children()
    result = work()
    return (
        Spent(
            time.perf_counter() - began,
            _cpu(resource.RUSAGE_SELF) - own,
            _children() - child,
        ),
        result,
    )


def _cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _children() -> float:
    return _cpu(resource.RUSAGE_CHILDREN)


def run_child(
    command: list[str], environment: dict[str, str] | None = None, *, quiet: bool = False
) -> tuple[Spent, int]:
    """Run a program to its end; return what it spent and the peak memory of it, in bytes.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    began = time.perf_counter()
    output = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stdout=output)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    wall_s = time.perf_counter() - began
    return Spent(wall_s, usage.ru_utime + usage.ru_stime), usage.ru_maxrss * 1024
