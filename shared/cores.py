"""How many cores this process may use: those of its pod, which are fewer than its node's."""

from __future__ import annotations

import os
from functools import lru_cache
from math import ceil
from pathlib import Path

#: The pod's share of CPU time, as the kernel tells it (cgroup v2): quota and period, or "max".
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@lru_cache(maxsize=1)
def cores() -> int:
    """Return the number of cores; threads beyond it would only be stopped by the kernel."""
    return within(len(os.sched_getaffinity(0)), _CPU_MAX)


def within(allowed: int, limit: Path) -> int:
    """Return how many of the allowed cores a limit leaves; all where there is none."""
    try:
        quota, period = limit.read_text().split()
        share = ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return allowed
    return max(1, min(allowed, share))
