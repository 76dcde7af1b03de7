"""Runs of frames that stand still or come a second time while things move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from workers.video.joints import NEAR
from workers.video.motion import NOISE, Floats, Indices, Motion, tile_change

#: Shortest frozen and duplicated run, in frames.
MIN_FROZEN, MIN_DUPLICATED = 8, 7
#: Largest steps inside a frozen run, in grey levels, tried in turn; and as a share of the steps
#: beside it.
FROZEN_STEPS, FROZEN_SHARE = (0.6, 1.0, 1.5, 2.0), 0.25
#: Largest median step inside a frozen run, in grey levels: a picture that is held is stored as "no
#: change" and then stands still to the last grey level, what rests in front of a camera does not.
#: On development clips 0.28 at most in frozen runs, 0.6 and more in natural rest.
STILL = 0.42
#: Smallest contrast of a frozen run; see `Run`.
MIN_CONTRAST = 0.35
#: Frames in which compression may blend a frozen run with what is beside it, and the largest share
#: of the motion beside it that they have.
BLENDED, BLENDED_SHARE = 4, 0.5
#: Share of the motion beside a frozen run that one of the last two steps before it has at least;
#: what comes to rest by itself slows down.
ABRUPT = 0.5
#: Smallest motion beside a frozen run, in grey levels.
MOVING = 2.2
#: Frames beside a run whose motion counts.
BESIDE = 6
#: What one frame adds to the evidence for a copy: the log of how many times nearer it is to its
#: copy than to that one's neighbours, between the two bounds, less the usual. Set on untouched
#: development clips.
NEARER, USUALLY_NEARER = (-0.6, 0.7), 0.13
#: Evidence from which on a run is a copy, that which a perfect run of 12 frames has, and how far
#: it falls before the run has ended.
EVIDENCE, FULL_EVIDENCE, FALL = 3.5, 6.8, 0.8
#: How much farther a tile is from its copy than it moves in a step, in grey levels, in half of the
#: frames, where it is no copy. On development clips 2.2 at most in copies (up to CRF 32); beside a
#: loop, 4 in somebody calm and small, and up to 70 in others.
ALIEN = 4.0
#: Frames of a run that are compared tile by tile, at most, evenly chosen.
_COMPARED = 100
#: Share of the pixels that are compared, those that change most over time.
BUSY_SHARE = 0.3
#: Mean square that compression and rounding leave between a frame and its copy, in grey levels.
_FLOOR = 0.15
#: Smallest lag between a frame and its copy, and the largest that is looked for, in frames.
MIN_LAG, MAX_LAG = 5, 3000
#: Percentile of the steps beside a run that tells whether it moves there.
_BUSY = 65
#: A copy follows what it was copied from, so it is no longer than its lag. What is longer by this
#: factor is a movement that repeats itself where it comes back sooner than this, in seconds, and a
#: loop where this many tiles move at most (a spinner on a screen; 16 and more in looped talkers).
PERIODIC, PERIOD_S, SMALL_LOOP = 1.3, 1.0, 6
#: Mean step from which on a tile moves, in grey levels.
_MOVES = 2 * NOISE
_BLOCK = 256
_BESIDE_LAG = 2  # neighbours of a frame


@dataclass(frozen=True)
class Run:
    """A run of frames.

    Attributes:
        start: Index of its first frame.
        stop: Index after its last frame.
        lag: How many frames before it the same run is shown; 0 for a frozen one.
        contrast: How clear it is: about 0.5 at the threshold, 1 and more for a perfect repetition.
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
    return _without_overlaps(runs, key=lambda run: run.start - run.stop)


def _frozen_run(steps: Floats, start: int, stop: int) -> Run | None:
    """Judge a run of small steps by the steps beside it; None where they are small as well."""
    if float(np.median(steps[start:stop])) > STILL:
        return None
    inside = float(np.percentile(steps[start:stop], 90))
    for first in range(start, max(1, start - BLENDED) - 1, -1):
        before = steps[max(1, first - BESIDE) : first]
        after = steps[stop + 1 : stop + 1 + BESIDE]  # the first one may be a jump
        if stop - first < MIN_FROZEN - 1 or min(before.size, after.size) < NEAR:
            continue
        beside = min(float(np.percentile(part, _BUSY)) for part in (before, after))
        contrast = 1 - inside / (FROZEN_SHARE * beside + 1e-6)
        blended = steps[first:start].max(initial=0.0) <= BLENDED_SHARE * beside
        abrupt = float(steps[max(0, first - 2) : first].max()) >= ABRUPT * beside
        if beside >= MOVING and contrast >= MIN_CONTRAST and abrupt and blended:
            return Run(first - 1, stop, 0, contrast)
    return None


def repeated_runs(motion: Motion) -> tuple[list[Run], list[Run]]:
    """Find runs whose frames match earlier ones, one by one, far better than their neighbours.

    The evidence of single frames is added up along every lag, as a sum that starts anew when it
    falls to nothing (the largest sum of a part of a series).

    Returns:
        Copies of the whole picture; and loops, where a part of it comes again and the rest moves
        on or stands still.
    """
    runs = _Runs(min(MAX_LAG, len(motion)))
    for place, change in enumerate(_changes(motion)):
        # change[k] is the mean square difference from the frame MIN_LAG - 1 + k before this one
        if change.size > _BESIDE_LAG:
            beside = 0.5 * (change[:-2] + change[2:])
            nearer = np.clip(0.5 * np.log(beside / change[1:-1]), *NEARER)
            runs.add(place, nearer - USUALLY_NEARER)
    whole: list[Run] = []
    parts: list[Run] = []
    for run in runs.finish():
        (whole if _is_whole(run, motion) else parts).append(run)
    found, loops = _clearest(whole), _clearest(parts)
    loops += [run for run in found if _is_small_loop(run, motion)]
    copies = [run for run in found if run not in loops and not _is_quick(run, motion)]
    return [run for run in copies if _holds(run, motion)], loops


def _is_whole(run: Run, motion: Motion) -> bool:
    """Tell whether the whole picture comes a second time, not a part of it alone.

    A loop that was put into a picture (a sticker, a background) comes back frame by frame; who
    speaks beside it does not.
    """
    count = min(run.stop - run.start, _COMPARED)
    places = np.linspace(run.start, run.stop - 1, count).astype(np.int64)
    apart = tile_change(motion.pictures[places], motion.pictures[places - run.lag])
    return bool((np.median(apart, axis=0) <= _tile_steps(run, motion) + ALIEN).all())


def _tile_steps(run: Run, motion: Motion) -> Floats:
    """Return the mean step of every tile within a run."""
    return np.asarray(motion.tile_steps[run.start + 1 : run.stop].mean(axis=0), dtype=np.float64)


def _holds(run: Run, motion: Motion) -> bool:
    """Tell whether a run is a copy where things move during it, too.

    What changes most over a whole recording is, after a cut, mostly what does not move, and there
    any two frames of a shot are alike.
    """
    count = len(motion)
    pixels = motion.pictures.reshape(count, -1)
    own = pixels[run.start : run.stop].astype(np.float32)
    busy = np.argsort(-own.std(axis=0), kind="stable")[: ceil(BUSY_SHARE * own.shape[1])]
    places = np.arange(run.start, run.stop)

    def change(lag: int) -> Floats:
        other = pixels[np.maximum(places - lag, 0)][:, busy]
        return np.asarray(np.square(own[:, busy] - other).mean(axis=1) + _FLOOR)

    beside = 0.5 * (change(run.lag - 1) + change(run.lag + 1))
    nearer = np.clip(0.5 * np.log(beside / change(run.lag)), *NEARER)
    return float((nearer - USUALLY_NEARER).sum()) >= EVIDENCE


def _is_small_loop(run: Run, motion: Motion) -> bool:
    """Tell whether a run goes on over itself and little else moves, as with a spinner."""
    moving = int((_tile_steps(run, motion) > _MOVES).sum())
    return _goes_on(run) and moving <= SMALL_LOOP


def _is_quick(run: Run, motion: Motion) -> bool:
    """Tell whether a run goes on over itself, time and again, as quick movements do."""
    lag_s = motion.times_s[run.start] - motion.times_s[run.start - run.lag]
    return _goes_on(run) and bool(lag_s < PERIOD_S)


def _goes_on(run: Run) -> bool:
    return run.stop - run.start > PERIODIC * run.lag


class _Runs:
    """The running sums of evidence, one a lag, and the runs that were found."""

    def __init__(self, lags: int) -> None:
        self._sum = np.zeros(lags)
        self._peak = np.zeros(lags)
        self._first = np.zeros(lags, np.int64)
        self._last = np.zeros(lags, np.int64)
        self._found: list[Run] = []

    def add(self, place: int, evidence: Floats) -> None:
        """Add what one frame tells, for the lags from `MIN_LAG` on."""
        lags = slice(MIN_LAG, MIN_LAG + evidence.size)
        total, peak = self._sum[lags], self._peak[lags]
        self._first[lags][total <= 0] = place
        total += evidence
        higher = total > peak
        peak[higher] = total[higher]
        self._last[lags][higher] = place
        ended = (total <= 0) | (total < peak - FALL)
        self._tell(MIN_LAG + np.flatnonzero(ended & (peak >= EVIDENCE)))
        total[ended] = 0.0
        peak[ended] = 0.0

    def finish(self) -> list[Run]:
        """Return all runs."""
        self._tell(np.flatnonzero(self._peak >= EVIDENCE))
        return self._found

    def _tell(self, lags: Indices) -> None:
        for lag in lags:
            start, stop = int(self._first[lag]), int(self._last[lag]) + 1
            if stop - start >= MIN_DUPLICATED:
                strength = float(self._peak[lag]) / FULL_EVIDENCE
                self._found.append(Run(start, stop, int(lag), strength))


def _changes(motion: Motion) -> Iterator[Floats]:
    """Yield for every frame its mean square difference from the earlier ones, nearest first."""
    count = len(motion)
    pixels = motion.pictures.reshape(count, -1)
    busy = np.argsort(-_deviations(pixels), kind="stable")[: ceil(BUSY_SHARE * pixels.shape[1])]
    flat = pixels[:, np.sort(busy)].astype(np.float32)  # of the busy ones only: memory counts here
    flat -= flat.mean(axis=0)
    power = np.square(flat).sum(axis=1)
    for first in range(0, count, _BLOCK):
        rows = slice(first, min(first + _BLOCK, count))
        low = max(0, first - MAX_LAG)
        product = flat[rows] @ flat[low : rows.stop].T
        change = power[rows, None] + power[None, low : rows.stop] - 2.0 * product
        change = np.maximum(change, 0.0) / flat.shape[1] + _FLOOR
        for place in range(first, rows.stop):
            earliest = max(0, place - MAX_LAG) - low
            nearest = place - MIN_LAG + 1 - low
            yield change[place - first, earliest : max(earliest, nearest + 1)][::-1]


def _deviations(pixels: NDArray[np.uint8]) -> Floats:
    """Return the standard deviation of every pixel over time, a block of pictures at a time."""
    total, squares = np.zeros(pixels.shape[1]), np.zeros(pixels.shape[1])
    for first in range(0, len(pixels), _BLOCK):
        block = pixels[first : first + _BLOCK].astype(np.float64)
        total += block.sum(axis=0)
        squares += np.square(block).sum(axis=0)
    variance = squares / len(pixels) - np.square(total / len(pixels))
    return np.sqrt(np.maximum(variance, 0.0))


def _clearest(runs: list[Run]) -> list[Run]:
    return _without_overlaps(runs, key=lambda run: -run.contrast)


def _without_overlaps(runs: list[Run], key: Callable[[Run], float]) -> list[Run]:
    """Keep the first of runs that overlap, in the order of a key."""
    kept: list[Run] = []
    for run in sorted(runs, key=lambda run: (key(run), run.start)):
        if all(run.stop <= other.start or run.start >= other.stop for other in kept):
            kept.append(run)
    return sorted(kept, key=lambda run: run.start)


def _true_runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return start and stop of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
