"""Segments that do not belong where they are: inserted, swapped or played backwards.

What tells them from ordinary cuts: the frames on their outer sides follow each other, as the next
frame of one motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.video.jumps import Jump
from workers.video.motion import NOISE, Motion

#: Shortest and longest inserted segment that is looked for, in frames.
MIN_INSERTED, MAX_INSERTED = 3, 750
#: Longest stretch of swapped or reversed frames that is looked for, in frames.
MAX_REORDERED = 250
#: Largest step between two frames that follow each other, in usual steps of that place.
FOLLOWS = 1.7
#: How much larger the steps to frames a little further off are at least, where things move.
APART = 1.3
#: How much larger the step back from an inserted segment is than the one across it, at least.
LEADS_BACK = 2.5
#: Smallest usual step for which it can be told which frames follow each other, in grey levels.
MOVING = 1.5
_BESIDE = 4


@dataclass(frozen=True)
class Stretch:
    """A run of frames with what is said about it."""

    type: str
    start: int
    stop: int
    detail: str
    strength: float


def insertions(motion: Motion, jumps: list[Jump]) -> list[Stretch]:
    """Find segments after which the motion before them goes on as if they were not there."""
    found: list[Stretch] = []
    for jump in jumps:
        if not jump.firm or any(s.start <= jump.at <= s.stop for s in found):
            continue
        span = _resumes_after(motion, jump.at) or _left_off_before(motion, jump.at)
        if span is not None:
            start, stop = span
            detail = (
                f"{stop - start} other frames lie between two that follow each other: the motion "
                "before them goes on after them as if no time had passed."
            )
            found.append(Stretch("inserted_segment", start, stop, detail, 0.8))
    return found


def _resumes_after(motion: Motion, start: int) -> tuple[int, int] | None:
    """Find where the motion before a jump goes on; None where it does not."""
    places = np.arange(start + MIN_INSERTED, min(len(motion) - 2, start + MAX_INSERTED))
    places = places[motion.steps[places] >= LEADS_BACK * motion.steps[start - 1]]
    if not places.size:
        return None
    across = motion.distance(start - 1, places)
    for place in places[motion.steps[places] >= LEADS_BACK * across]:
        if follows(motion, start - 1, int(place)):
            return start, int(place)
    return None


def _left_off_before(motion: Motion, stop: int) -> tuple[int, int] | None:
    """Find where the motion after a jump left off; None where it is new."""
    places = np.arange(max(2, stop - MAX_INSERTED), max(2, stop - MIN_INSERTED + 1))[::-1]
    places = places[motion.steps[places] >= LEADS_BACK * motion.steps[stop + 1]]
    if not places.size:
        return None
    across = motion.distance(places - 1, stop)
    for place in places[motion.steps[places] >= LEADS_BACK * across]:
        if follows(motion, int(place) - 1, stop):
            return int(place), stop
    return None


def reorderings(motion: Motion, jumps: list[Jump]) -> list[Stretch]:
    """Find runs that are swapped with their neighbours, or played backwards."""
    found: list[Stretch] = []
    places = [jump.at for jump in jumps]
    firm = {jump.at for jump in jumps if jump.firm}
    for number, start in enumerate(places):
        if any(s.start <= start < s.stop for s in found):
            continue
        near = [place for place in places[number + 1 :] if place - start <= MAX_REORDERED]
        swap = _swapped(motion, start, near, firm) or _reversed(motion, start, near, firm)
        if swap:
            found.append(swap)
    return found


def _swapped(motion: Motion, start: int, near: list[int], firm: set[int]) -> Stretch | None:
    """Look for A C B D: A goes on in B, B in C, and C in D."""
    for order, middle in enumerate(near):
        for stop in near[order + 1 :]:
            if len({start, middle, stop} & firm) < 1:
                continue
            if (
                follows(motion, start - 1, middle)
                and follows(motion, stop - 1, start)
                and follows(motion, middle - 1, stop)
            ):
                detail = (
                    f"Two neighbouring runs of {middle - start} and {stop - middle} frames are "
                    "swapped: in the other order all their ends follow each other."
                )
                return Stretch("reordered_run", start, stop, detail, 0.9)
    return None


def _reversed(motion: Motion, start: int, near: list[int], firm: set[int]) -> Stretch | None:
    """Look for a run whose last frame follows what is before it, and whose first leads on."""
    for stop in near:
        if stop - start < 2 * _BESIDE or not {start, stop} & firm:
            continue
        if follows(motion, start - 1, stop - 1, (-1, -1)) and follows(motion, start, stop, (1, 1)):
            detail = (
                f"{stop - start} frames run backwards: turned round, both their ends follow what "
                "is beside them."
            )
            return Stretch("reordered_run", start, stop, detail, 0.8)
    return None


def follows(motion: Motion, first: int, second: int, away: tuple[int, int] = (-1, 1)) -> bool:
    """Tell whether one frame could be the next one after another, and only just.

    Args:
        motion: The motion of the recording.
        first: Index of the earlier frame.
        second: Index of the frame that may follow it.
        away: Directions in which the joined motion leads away from the two frames; in a run
            played backwards they are turned round.
    """
    usual = max(_usual(motion, first, away[0]), _usual(motion, second, away[1]))
    if usual < MOVING:
        return False
    step = float(motion.distance(first, second)[0])
    if step > FOLLOWS * usual + NOISE:
        return False
    last = len(motion) - 1
    further = [
        min(last, max(0, at + 3 * way)) for at, way in zip((first, second), away, strict=True)
    ]
    pairs = ((further[0], second), (first, further[1]))
    return all(float(motion.distance(*pair)[0]) >= APART * step for pair in pairs)


def _usual(motion: Motion, at: int, way: int) -> float:
    """Return the usual step on one side of a frame."""
    if way < 0:
        part = motion.steps[max(1, at - _BESIDE + 1) : at + 1]
    else:
        part = motion.steps[at + 1 : at + 1 + _BESIDE]
    return float(np.percentile(part, 75)) if part.size else 0.0
