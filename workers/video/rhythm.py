"""A rhythm of steps in a part of a shot only, as frames shown twice or left out make it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from workers.video.jumps import Jump
from workers.video.motion import NOISE, Floats, Motion
from workers.video.order import Stretch

#: Periods that are looked for, in frames: 2 for half or one and a half times the speed, and so on.
PERIODS = (2, 3)
#: Frames over which a rhythm is measured; a multiple of all periods.
WINDOW = 24
#: Difference of the mean log step between the phases of a rhythm: present, and absent.
PRESENT, ABSENT = 0.5, 0.3
#: The same difference in standard errors.
CLEAR = 5.5
#: Share of the frames of a shot that must move without the rhythm.
FREE_SHARE = 0.2
#: Smallest usual step for a rhythm to be measured, in grey levels.
MOVING = 2.5


def speed_changes(motion: Motion, jumps: list[Jump]) -> list[Stretch]:
    """Find parts of shots with a rhythm that the rest of the same shot does not have."""
    found = []
    ends = [0, *(jump.at for jump in jumps if jump.cut), len(motion)]
    for start, stop in pairwise(ends):
        if stop - start >= 2 * WINDOW:
            found += _in_shot(motion, start, stop)
    return found


def _in_shot(motion: Motion, start: int, stop: int) -> list[Stretch]:
    """Find the parts of one shot that have a rhythm of their own."""
    logs = np.log(motion.steps[start:stop] + 0.3)
    logs[0] = logs[1]
    moving = _moving(motion.steps[start:stop])
    for period in PERIODS:
        strength = _rhythm(logs, period)
        strength[~moving] = np.nan
        if np.nansum(strength <= ABSENT) < max(WINDOW, FREE_SHARE * (stop - start)):
            continue
        with_rhythm = np.nan_to_num(strength) >= PRESENT
        places = np.flatnonzero(with_rhythm)
        if places.size < WINDOW // 2:
            continue
        runs = np.split(places, np.flatnonzero(np.diff(places) > WINDOW) + 1)
        best = max(runs, key=len)
        if best.size < WINDOW // 2:
            continue
        mean = float(np.nanmean(strength[best]))
        detail = (
            f"In this part every {period}. step differs from the others, as when frames are shown "
            "twice or left out to change the speed; the rest of the shot has no such rhythm."
        )
        first, last = start + int(best[0]), start + int(best[-1]) + 1
        return [Stretch("speed_change", first, min(last, stop), detail, 0.3 + 0.2 * mean)]
    return []


def _moving(steps: Floats) -> np.ndarray:
    """Tell around which frames something moves most of the time."""
    padded = np.pad(steps, WINDOW // 2, mode="reflect" if steps.size > WINDOW else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: steps.size]
    return np.asarray(np.percentile(windows, 60, axis=1) >= MOVING + NOISE)


def _rhythm(logs: Floats, period: int) -> Floats:
    """Return the contrast of the phases around each frame; unclear ones lie between."""
    trend = np.convolve(np.pad(logs, 6, mode="edge"), np.ones(13) / 13, mode="valid")
    rest = logs - trend
    half = WINDOW // 2
    padded = np.pad(rest, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: logs.size]
    phases = windows.reshape(len(windows), WINDOW // period, period)
    means, scatter = phases.mean(axis=1), phases.std(axis=1).mean(axis=1)
    contrast = means.max(axis=1) - means.min(axis=1)
    error = scatter * np.sqrt(2 * period / WINDOW) + 1e-6
    clear = (contrast >= CLEAR * error) | (contrast <= ABSENT)
    return np.asarray(np.where(clear, contrast, (PRESENT + ABSENT) / 2))
