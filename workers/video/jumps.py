"""Single steps that are far larger than the motion around them: cuts, and joins inside a shot."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from workers.video.motion import NOISE, Floats, Motion

Booleans = NDArray[np.bool_]
Tiles = NDArray[np.floating]

#: Frames before and after a step that it is compared with, and those that say what is usual.
NEAR, AROUND = 3, 10
#: How much a jump stands out, at least: the mean over the tiles of log(step / largest step nearby)
#: plus half the log of how many times the usual step it is. Set on untouched development clips,
#: where it stays below 1.4, and below 1.2 where the picture changes as much as in `CHANGED`.
STANDS_OUT, STANDS_OUT_CHANGED = 1.52, 1.36
#: How many times the usual step a jump is at least.
UNUSUAL = 3.0
#: Correlation with the frame before below which a jump changes the picture.
CHANGED = 0.9
#: Both measures for a step that counts only where other evidence supports it.
WEAK_JUMP, WEAK_UNUSUAL = 0.3, 1.8
#: Smallest jump in grey levels.
SMALLEST = 5.0
#: A jump stays in its shot if no more than this share of the pixels changes tone, or a larger one
#: while the pictures correlate by so much. On development clips the change is 0.01 to 0.1 within a
#: shot and 0.2 to 0.7 across cuts.
SAME_TONES, SAME_TONES_ALIKE, SAME_ALIKE = 0.12, 0.2, 0.8
#: Steps below this share of those around them show the same frame again (an encoder's skip).
HELD = 0.2
#: A tile counts where something moves by at least this within `AROUND` frames, in grey levels.
_MOVING_TILE = 2.0
#: Frames that a skip or a gap in time is allowed to explain.
_MAX_ELAPSED = 6.0


@dataclass(frozen=True)
class Jump:
    """A step that the motion does not explain.

    Attributes:
        at: Index of the first frame after it.
        score: Mean over tiles of log(step / largest step nearby).
        frames: How many times the usual step it is.
        firm: Whether it needs no other evidence.
        cut: Whether it leads to another shot.
    """

    at: int
    score: float
    frames: float
    firm: bool
    cut: bool


def held(motion: Motion) -> Booleans:
    """Tell which frames show the frame before once more, while things move around them."""
    around = _around(motion.steps)
    flags: Booleans = (motion.steps < 0.5 * NOISE) | (motion.steps < HELD * around)
    flags[0] = False
    return flags


def paces(motion: Motion) -> Floats:
    """Return every step divided by the number of frame times since the last new frame."""
    times, skipped = motion.times_s, held(motion)
    usual = float(np.median(np.diff(times))) if len(motion) > 1 else 1.0
    elapsed = np.ones(len(motion))
    new = 0
    for index in range(1, len(motion)):
        elapsed[index] = (times[index] - times[new]) / max(usual, 1e-6)
        if not skipped[index]:
            new = index
    return np.clip(elapsed, 1.0, _MAX_ELAPSED)


def find_jumps(motion: Motion) -> list[Jump]:
    """Find the steps that are far larger than all motion around them, in order."""
    count = len(motion)
    tiles = motion.tile_steps / paces(motion)[:, None]
    steps = motion.steps / paces(motion)
    skipped = held(motion)
    jumps = []
    for at in range(NEAR + 1, count - NEAR):
        if steps[at] < SMALLEST:
            continue
        score, unusual = _compare(tiles[at], motion.tile_steps, skipped, at)
        if score >= WEAK_JUMP and unusual >= WEAK_UNUSUAL:
            alike = motion.alike(at - 1, at)
            needed = STANDS_OUT_CHANGED if alike < CHANGED else STANDS_OUT
            firm = unusual >= UNUSUAL and score + 0.5 * log(unusual) >= needed
            jumps.append(Jump(at, score, unusual, firm, firm and not same_shot(motion, at)))
    return jumps


def same_shot(motion: Motion, at: int) -> bool:
    """Tell whether a frame belongs to the same shot as the frame before."""
    change = motion.tone_change(at - 1, at)
    if change <= SAME_TONES:
        return True
    return change <= SAME_TONES_ALIKE and motion.alike(at - 1, at) >= SAME_ALIKE


def _compare(step: Tiles, tiles: Tiles, skipped: Booleans, at: int) -> tuple[float, float]:
    """Compare the tiles of one step with those nearby and with the usual ones.

    The step is divided by the time that it took, the others are not: neither pull-down nor skips
    make a jump out of an ordinary step.
    """
    count = len(tiles)
    first, last = max(1, at - AROUND), min(count, at + AROUND + 1)
    nearby = [
        index
        for index in range(max(1, at - NEAR), min(count, at + NEAR + 1))
        if index != at and not skipped[index]
    ]
    if not nearby:
        nearby = [index for index in (at - 1, at + 1) if 0 < index < count]
    if not nearby:
        return 0.0, 0.0
    moving = tiles[first:last].max(axis=0) > _MOVING_TILE
    if not moving.any():
        return 0.0, 0.0
    step = step[moving] + NOISE
    score = np.log(step / (tiles[nearby][:, moving].max(axis=0) + NOISE)).mean()
    usual = np.median(tiles[first:last][~skipped[first:last]][:, moving], axis=0) + NOISE
    return float(score), float(np.median(step / usual))


def _around(steps: Floats) -> Floats:
    """Return the median of the larger steps around each frame."""
    count = len(steps)
    out = np.empty(count)
    for index in range(count):
        window = steps[max(1, index - NEAR) : index + NEAR + 1]
        out[index] = np.sort(window)[-max(1, len(window) // 2) :].mean() if len(window) else 0.0
    return out
