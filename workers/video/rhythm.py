"""A rhythm of steps in a part of a shot only, as frames shown twice or left out make it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from workers.video.jumps import Jump
from workers.video.motion import Floats, Motion
from workers.video.order import Stretch

Booleans = NDArray[np.bool_]

#: Periods that are looked for, in frames, and the evidence from which on each is told: 2 for half
#: and one and a half times the speed, 3 for two thirds of it. Set on development clips.
PERIODS = {2: 13.0, 3: 7.0}
#: The period whose other steps are all larger than their neighbours.
ALTERNATING = 2
#: Shortest shot that is looked at, in frames.
MIN_FRAMES = 48
#: Largest contrast of a step with its neighbours that counts (natural log), and what a step of
#: the rhythm needs so that the evidence grows.
MAX_CONTRAST, USUAL_CONTRAST = 1.2, 0.4
#: Frames around a step that say whether things move there, how much the larger third of their
#: steps is then, in grey levels, and what a frame without motion takes from the evidence.
AROUND, MOVING, STILL_COST = 8, 1.5, 0.1
#: Steps of the rest of the shot that are needed to say that it has no such rhythm, and the bounds
#: of their mean contrast: at least, and at most as a share of that inside.
REST_STEPS, REST_LEAST, REST_SHARE = 6, -0.12, 0.35
#: Share of the steps of the rhythm that stand out by themselves; a few pictures that an encoder
#: shows again stand out as much, but not those between them.
REGULAR = 0.7
#: Longest interval inside such a part, in usual ones; frames left out with true times shift the
#: phase of frames that the source holds.
STEADY = 1.5
_FLOOR = 0.4


def speed_changes(motion: Motion, jumps: list[Jump]) -> list[Stretch]:
    """Find parts of shots with a rhythm that the rest of the same shot does not have."""
    found = []
    ends = [0, *(jump.at for jump in jumps if jump.cut), len(motion)]
    for start, stop in pairwise(ends):
        if stop - start >= MIN_FRAMES:
            best = max(_in_shot(motion, start, stop), key=lambda part: part.strength, default=None)
            found += [best] if best else []
    return found


def _in_shot(motion: Motion, start: int, stop: int) -> list[Stretch]:
    """Find the parts of one shot that have a rhythm of their own, for every period and phase."""
    logs, moving = _logs(motion, start, stop), _moving(motion.steps[start:stop])
    beside = np.pad(logs, 1, mode="edge")
    smaller = np.clip(0.5 * (beside[:-2] + beside[2:]) - logs, -MAX_CONTRAST, MAX_CONTRAST)
    found = []
    for period, needed in PERIODS.items():
        for phase in range(period):
            small = np.arange(logs.size) % period == phase
            contrast = np.where(small, smaller, -smaller if period == ALTERNATING else 0.0)
            counted = small | (period == ALTERNATING)
            gain = np.where(moving, contrast - USUAL_CONTRAST, -STILL_COST)
            evidence, first, last = _best_part(np.where(counted, gain, 0.0))
            inside = slice(first, last)
            if (
                evidence >= needed
                and _steady(motion.times_s[start:stop], inside)
                and _alone(contrast, small & moving, inside)
                and float((contrast[inside][small[inside]] > USUAL_CONTRAST).mean()) >= REGULAR
            ):
                detail = (
                    f"In this part every {period}. step is smaller than its neighbours, as when "
                    "frames are shown twice or left out to change the speed; the rest of the shot "
                    "has no such rhythm."
                )
                strength = 0.4 + 0.02 * evidence
                found.append(Stretch("speed_change", start + first, start + last, detail, strength))
    return found


def _logs(motion: Motion, start: int, stop: int) -> Floats:
    """Return the log of every step, divided by the time that it took."""
    times = motion.times_s[start:stop]
    passed = np.diff(times, prepend=2 * times[0] - times[1])
    elapsed = np.clip(passed / max(float(np.median(passed)), 1e-6), 0.5, 6.0)
    return np.asarray(np.log(motion.steps[start:stop] / elapsed + _FLOOR))


def _steady(times: Floats, inside: slice) -> bool:
    """Tell whether the frames of a part of a shot are shown at a steady rate."""
    passed = np.diff(times)
    return bool(passed[inside].max(initial=0.0) <= STEADY * float(np.median(passed)))


def _moving(steps: Floats) -> Booleans:
    """Tell around which frames something moves."""
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(steps, AROUND, mode="edge"), 2 * AROUND + 1
    )
    return np.asarray(np.percentile(windows, 65, axis=1) >= MOVING)


def _best_part(gains: Floats) -> tuple[float, int, int]:
    """Return the largest sum of a part of a series, its start and its stop."""
    best, total, first = (0.0, 0, 0), 0.0, 0
    for place, gain in enumerate(gains.tolist()):
        if total <= 0:
            total, first = 0.0, place
        total += gain
        if total > best[0]:
            best = total, first, place + 1
    return best


def _alone(contrast: Floats, counted: Booleans, inside: slice) -> bool:
    """Tell whether the steps outside a part have neither its rhythm nor the opposite one.

    Frames that a source holds two by two all the time change their phase now and then.
    """
    outside = counted.copy()
    outside[inside] = False
    if outside.sum() < REST_STEPS:
        return False
    rest, within = contrast[outside].mean(), contrast[inside][counted[inside]].mean()
    return bool(REST_LEAST <= rest < REST_SHARE * within)
