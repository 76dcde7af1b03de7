"""What a plan is made for: when uploads arrive, and how long the recordings are."""

from __future__ import annotations

import math

import numpy as np

from workers.plan import Floats


def arrivals(
    uploads_per_hour: float, hours: float, *, burst: int = 0, swing: float = 0.0, seed: int = 0
) -> Floats:
    """Return Poisson arrivals in seconds, rising.

    Args:
        uploads_per_hour: Their mean rate.
        hours: For how long.
        burst: Uploads that come at once besides, after a third of the time.
        swing: 0 for a constant rate; 0.8 for a day whose peak has 1.8 times the mean rate.
        seed: Another draw.
    """
    random = np.random.default_rng(seed)
    length_s = hours * 3600
    count = int(random.poisson(uploads_per_hour * hours))
    times = np.sort(random.random(count)) * length_s
    if swing:
        grid = np.linspace(0, length_s, 2000)
        day = 2 * np.pi / 86_400
        cumulated = grid - swing / day * np.sin(day * grid)
        times = np.interp(times, cumulated * length_s / cumulated[-1], grid)
    return np.sort(np.concatenate([times, np.full(burst, length_s / 3)]))


def media_seconds(count: int, minutes: float, spread: float = 0.6, seed: int = 0) -> Floats:
    """Return lognormal lengths of recordings with this mean and coefficient of variation."""
    variance = math.log(1 + spread**2)
    random = np.random.default_rng(seed + 1)
    return 60 * minutes * random.lognormal(-variance / 2, math.sqrt(variance), count)
