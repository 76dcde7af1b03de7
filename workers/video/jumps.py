"""Single steps that are far larger than the motion around them: cuts, and joints inside a shot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.video.joints import AROUND, NEAR, SMALLEST, Joint, Trail
from workers.video.motion import NOISE, Floats, Motion, tile_change, top_tiles
from workers.video.repeats import Run

Booleans = NDArray[np.bool_]

#: Log odds of a joint from which on it is told without other evidence, from which on it is told
#: where no other step nearby is odd, from which on it can begin a finding that has other evidence
#: too, and from which on it can be a part of one; what the first two cost and find: see the card.
ALONE, LONELY, FIRM, WEAK = 2.5, 2.0, 2.0, -1.0
#: Steps below this share of those around them show the same frame again (an encoder's skip).
HELD = 0.2
#: Share of a step that is left, at most, where the one a turn of the loop away is taken from it.
SEAM = 0.5
#: How many times the usual step a step has to be, at least, to be looked at.
_LOOKED_AT = 1.2
#: Frames that a skip or a gap in time is allowed to explain.
_MAX_ELAPSED = 6.0


@dataclass(frozen=True)
class Jump:
    """A step that the motion does not explain.

    Attributes:
        at: Index of the first frame after it.
        likely: Log odds that it is a joint or a cut.
        frames: How many times the usual step it is.
        firm: Whether it can begin a finding.
        cut: Whether it leads to another shot.
    """

    at: int
    likely: float
    frames: float
    firm: bool
    cut: bool


def held(motion: Motion) -> Booleans:
    """Tell which frames show the frame before once more, while things move around them."""
    flags: Booleans = (motion.steps < 0.5 * NOISE) | (motion.steps < HELD * _around(motion.steps))
    flags[0] = False
    return flags


def find_jumps(motion: Motion) -> list[Jump]:
    """Find the steps that the motion around them does not explain, in order."""
    places = np.flatnonzero(~held(motion))
    times = motion.times_s
    usual = float(np.median(np.diff(times))) if len(motion) > 1 else 1.0
    passed = np.diff(times[places], prepend=times[0] - usual) / max(usual, 1e-6)
    elapsed = np.clip(passed, 1.0, _MAX_ELAPSED)
    trail = Trail(motion.pictures[places], elapsed)
    jumps = []
    for index in np.flatnonzero(_stands_out(motion.steps[places] / elapsed)):
        joint = trail.joint(int(index))
        if joint is not None and joint.likely >= WEAK:
            jumps.append(_jump(int(places[index]), joint))
    return jumps


def without_key_jumps(motion: Motion, jumps: list[Jump], keys_s: Floats) -> list[Jump]:
    """Leave out the jumps at key pictures, where more than one of these jumps within a shot.

    Strong compression lets the picture drift, and a key picture puts it right at once.

    Args:
        motion: The motion of the recording.
        jumps: Its jumps.
        keys_s: Times of key pictures that are placed by their number, not by what they show.
    """
    if not keys_s.size:
        return jumps
    times = motion.times_s
    half = 0.5 * float(np.median(np.diff(times)))
    there = [j for j in jumps if not j.cut and np.abs(keys_s - times[j.at]).min() < half]
    return jumps if len(there) <= 1 else [jump for jump in jumps if jump not in there]


def without_seams(motion: Motion, jumps: list[Jump], loops: list[Run]) -> list[Jump]:
    """Leave out the jumps that come again with a loop: there, the loop begins anew."""
    return [jump for jump in jumps if not any(_is_seam(motion, jump.at, loop) for loop in loops)]


def _is_seam(motion: Motion, at: int, loop: Run) -> bool:
    """Tell whether the step to a frame is the same one turn of the loop before or after."""
    step = _step(motion, at)
    return any(
        other > 0
        and loop.start <= max(at, other) < loop.stop
        and float(top_tiles(tile_change(step, _step(motion, other)))[0]) <= SEAM * motion.steps[at]
        for other in (at - loop.lag, at + loop.lag)
    )


def _step(motion: Motion, at: int) -> NDArray[np.float32]:
    """Return how the pixels change to a frame, shape (1, height, width)."""
    before, after = motion.pictures[at - 1 : at + 1].astype(np.float32)
    return np.asarray(after - before)[None]


def _jump(at: int, joint: Joint) -> Jump:
    firm = joint.likely >= FIRM
    return Jump(at, joint.likely, joint.frames, firm, firm and not joint.same_shot)


def _stands_out(steps: Floats) -> Booleans:
    """Tell which steps are large enough to be looked at."""
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(steps, AROUND, mode="edge"), 2 * AROUND + 1
    )
    usual = np.median(windows, axis=1)
    return np.asarray((steps >= SMALLEST) & (steps > _LOOKED_AT * usual))


def _around(steps: Floats) -> Floats:
    """Return the mean of the larger half of the steps around each frame."""
    count = len(steps)
    out = np.empty(count)
    for index in range(count):
        window = steps[max(1, index - NEAR) : index + NEAR + 1]
        out[index] = np.sort(window)[-max(1, len(window) // 2) :].mean() if len(window) else 0.0
    return out
