"""Runs of frames that stand still or come a second time while things move."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

import numpy as np

from workers.video.jumps import NEAR
from workers.video.motion import NOISE, Floats, Indices, Motion

#: Shortest frozen and duplicated run, in frames.
MIN_FROZEN, MIN_DUPLICATED = 8, 7
#: Largest steps inside a frozen run, in grey levels, tried in turn; and as a share of the steps
#: beside it.
FROZEN_STEPS, FROZEN_SHARE = (0.6, 1.0, 1.5, 2.0), 0.25
#: Smallest contrast of a frozen run; see `Run`.
MIN_CONTRAST = 0.35
#: Share of the motion beside a frozen run that one of the last two steps before it has at least;
#: what comes to rest by itself slows down.
ABRUPT = 0.5
#: Smallest motion beside a frozen run, in grey levels.
MOVING = 2.2
#: Frames beside a run whose motion counts.
BESIDE = 6
#: Largest difference of a frame from its copy, as a share of that from the copy's neighbours:
#: for a single frame, and for the median of a run.
MATCH, SHARP = 0.8, 0.6
#: Share of the pixels that are compared, those that change most over time.
BUSY_SHARE = 0.3
#: Smallest lag between a frame and its copy, and the largest that is looked for, in frames.
MIN_LAG, MAX_LAG = 5, 3000
#: Frames inside a duplicated run that may fail to match.
MAX_MISSES = 6
#: Frames between two duplicated runs with the same lag that are taken to belong to them.
BRIDGED = 25
#: Most matching pairs that are looked at (computer graphics can repeat all the time).
MAX_PAIRS = 400_000
#: Percentile of the steps beside a run that tells whether it moves there.
_BUSY = 65
_BLOCK = 256


@dataclass(frozen=True)
class Run:
    """A run of frames.

    Attributes:
        start: Index of its first frame.
        stop: Index after its last frame.
        lag: How many frames before it the same run is shown; 0 for a frozen one.
        contrast: How clear it is: 0 at the threshold, 1 for a perfect repetition.
    """

    start: int
    stop: int
    lag: int
    contrast: float


def frozen_runs(motion: Motion, jumps: Iterable[int] = ()) -> list[Run]:
    """Find runs that stand still though the same shot moves right before and right after.

    Args:
        motion: The motion of the recording.
        jumps: Indices of frames after a jump; what begins with one is another picture, not the
            last one held.
    """
    begins = {place + shift for place in jumps for shift in (-1, 0, 1)}
    runs: list[Run] = []
    for limit in FROZEN_STEPS:
        for start, stop in _true_runs(motion.steps <= limit):
            run = _frozen_run(motion.steps, start, stop)
            if run and run.start not in begins and start not in begins:
                runs.append(run)
    return _without_overlaps(runs)


def _frozen_run(steps: Floats, start: int, stop: int) -> Run | None:
    """Judge a run of small steps by the steps beside it; None where they are small as well."""
    before = steps[max(1, start - BESIDE) : start]
    after = steps[stop + 1 : stop + 1 + BESIDE]  # the first one may be a jump
    if stop - start < MIN_FROZEN - 1 or min(before.size, after.size) < NEAR:
        return None
    beside = min(float(np.percentile(part, _BUSY)) for part in (before, after))
    inside = float(np.percentile(steps[start:stop], 90))
    contrast = 1 - inside / (FROZEN_SHARE * beside + 1e-6)
    abrupt = float(steps[start - 2 : start].max()) >= ABRUPT * beside
    if beside < MOVING or contrast < MIN_CONTRAST or not abrupt:
        return None
    return Run(start - 1, stop, 0, contrast)


def duplicated_runs(motion: Motion) -> list[Run]:
    """Find runs whose every frame matches an earlier one far better than that one's neighbours."""
    lags, places, ratios = _sharp_pairs(motion)
    found: list[Run] = []
    order = np.lexsort((places, lags))
    lags, places, ratios = lags[order], places[order], ratios[order]
    breaks = np.flatnonzero((np.diff(lags) != 0) | (np.diff(places) > MAX_MISSES + 1)) + 1
    for group in np.split(np.arange(lags.size), breaks):
        if group.size < MIN_DUPLICATED:
            continue
        start, stop = int(places[group[0]]), int(places[group[-1]]) + 1
        contrast = 1 - float(np.median(ratios[group])) / SHARP
        if group.size >= 0.6 * (stop - start) and contrast > 0:
            found.append(Run(start, stop, int(lags[group[0]]), contrast))
    return _without_overlaps(_merged(found))


def _merged(runs: list[Run]) -> list[Run]:
    """Join runs with the same lag between which little is missing."""
    joined: list[Run] = []
    for run in runs:
        last = joined[-1] if joined else None
        if last and last.lag == run.lag and 0 <= run.start - last.stop <= BRIDGED:
            contrast = min(last.contrast, run.contrast)
            joined[-1] = Run(last.start, run.stop, run.lag, contrast)
        else:
            joined.append(run)
    return joined


def _sharp_pairs(motion: Motion) -> tuple[Indices, Indices, Floats]:
    """Return lag, later frame and sharpness ratio of all pairs that match sharply."""
    count = len(motion)
    flat = motion.pictures.reshape(count, -1).astype(np.float32)
    busy = np.argsort(-flat.std(axis=0), kind="stable")[: ceil(BUSY_SHARE * flat.shape[1])]
    flat = flat[:, np.sort(busy)]
    flat -= flat.mean(axis=0)
    power = np.square(flat).sum(axis=1, dtype=np.float64)
    lags, places, ratios = [], [], []
    total = 0
    for first in range(MIN_LAG, count, _BLOCK):
        rows = slice(first, min(first + _BLOCK, count))
        low = max(0, first - MAX_LAG)
        columns = slice(low, rows.stop)
        product = flat[rows] @ flat[columns].T
        change = np.maximum(power[rows, None] + power[None, columns] - 2.0 * product, 0.0)
        change = np.sqrt(change / flat.shape[1])
        beside = np.minimum(change[:, :-2], change[:, 2:])
        ratio = change[:, 1:-1] / np.maximum(beside, 1e-6)
        row, column = np.nonzero((ratio < MATCH) & (beside > NOISE))
        earlier, later = column + 1 + low, row + first
        kept = later - earlier >= MIN_LAG
        lags.append((later - earlier)[kept])
        places.append(later[kept])
        ratios.append(ratio[row, column][kept])
        total += int(kept.sum())
        if total > MAX_PAIRS:
            break
    empty = np.empty(0, np.int64)
    if not lags:
        return empty, empty, np.empty(0)
    return np.concatenate(lags), np.concatenate(places), np.concatenate(ratios)


def _without_overlaps(runs: list[Run]) -> list[Run]:
    """Keep the longest of runs that overlap."""
    kept: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.start - run.stop, run.start)):
        if all(run.stop <= other.start or run.start >= other.stop for other in kept):
            kept.append(run)
    return sorted(kept, key=lambda run: run.start)


def _true_runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return start and stop of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
