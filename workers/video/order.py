"""Segments that do not belong where they are: inserted, swapped or played backwards.

What tells them from ordinary cuts: the frames on their outer sides follow each other, as the next
frame of one motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from workers.video.joints import AROUND, NEAR, Trail
from workers.video.jumps import FIRM, Jump
from workers.video.motion import NOISE, Indices, Motion

#: Shortest and longest inserted segment that is looked for, in frames.
MIN_INSERTED, MAX_INSERTED = 3, 750
#: Longest stretch of swapped or reversed frames that is looked for, in frames.
MAX_REORDERED = 250
#: Log odds that two of the ends of swapped or turned runs are joints, taken together, at least.
SURE_SWAP, SURE_TURN = 3.0, 2.5
#: Largest step between two frames that follow each other, in usual steps of that place.
FOLLOWS = 1.7
#: Log odds of a joint below which two frames that are put together follow each other, and how much
#: larger the steps to frames a little further off are at least; a step that is no larger than the
#: usual one is enough by itself, unless it begins a finding elsewhere.
ORDINARY, APART = -0.5, 1.15
#: How much larger the step back from an inserted segment is than the one across it, at least.
LEADS_BACK = 2.5
#: Smallest usual step for which it can be told which frames follow each other, in grey levels.
MOVING = 1.5
_BESIDE = 4
_SIDE = AROUND + 1
_SHORTEST = NEAR + 1


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
        if _goes_on(motion, start, int(place)):
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
        if _goes_on(motion, int(place), stop):
            return int(place), stop
    return None


def _goes_on(motion: Motion, start: int, stop: int) -> bool:
    """Tell whether the motion before one frame goes on from another."""
    return follows(motion, np.arange(max(0, start - _SIDE), start), _from(motion, stop))


def _from(motion: Motion, start: int) -> Indices:
    return np.arange(start, min(len(motion), start + _SIDE))


def reorderings(motion: Motion, jumps: list[Jump]) -> list[Stretch]:
    """Find runs that are swapped with their neighbours, or played backwards."""
    found: list[Stretch] = []
    likely = {jump.at: jump.likely for jump in jumps}
    for first, second in combinations(likely, 2):
        if not 2 * _SHORTEST <= second - first <= MAX_REORDERED or any(
            stretch.start <= first < stretch.stop for stretch in found
        ):
            continue
        stretch = _reversed(motion, first, second, likely) or _swapped(
            motion, first, second, likely
        )
        if stretch:
            found.append(stretch)
    return found


def _swapped(motion: Motion, first: int, second: int, likely: dict[int, float]) -> Stretch | None:
    """Look for A C B D with two of its three joints given: A goes on in B, B in C, and C in D."""
    if likely[first] + likely[second] < SURE_SWAP:
        return None
    low, high = max(_SHORTEST, second - MAX_REORDERED), min(len(motion), first + MAX_REORDERED)
    for start, middle, stop in (
        _third(motion, (None, first, second), np.arange(low, first - _SHORTEST)),
        _third(motion, (first, None, second), np.arange(first + _SHORTEST, second - _SHORTEST)),
        _third(motion, (first, second, None), np.arange(second + _SHORTEST, high - _SHORTEST)),
    ):
        if start < 0:
            continue
        before = np.arange(max(0, start - _SIDE), start)
        runs = (before, np.arange(middle, stop), np.arange(start, middle), _from(motion, stop))
        if all(follows(motion, *pair) for pair in pairwise(runs)):
            detail = (
                f"Two neighbouring runs of {middle - start} and {stop - middle} frames are "
                "swapped: in the other order all their ends follow each other."
            )
            return Stretch("reordered_run", start, stop, detail, 0.9)
    return None


def _third(
    motion: Motion, known: tuple[int | None, int | None, int | None], places: Indices
) -> tuple[int, int, int]:
    """Choose the place of the joint that is not known; its start is -1 where there is none."""
    nowhere = -1, -1, -1
    start, middle, stop = (
        places if place is None else np.full(places.shape, place) for place in known
    )
    if not places.size:
        return nowhere
    # the two frames that do not depend on the third joint decide whether to look for it
    links = [(start - 1, middle), (stop - 1, start), (middle - 1, stop)]
    given = links.pop(2 - known.index(None))
    last, first = int(given[0][0]), int(given[1][0])
    if last <= _BESIDE or first + _BESIDE >= len(motion):
        return nowhere
    beside = motion.steps[last - _BESIDE + 1 : last + 1], motion.steps[first + 1 : first + _BESIDE]
    usual = float(np.concatenate(beside).max())
    if float(motion.distance(last, first)[0]) > FOLLOWS * usual + NOISE:
        return nowhere
    ways = motion.distance(*links[0]) + motion.distance(*links[1])
    best = int(places[int(np.argmin(ways))])
    start_at, middle_at, stop_at = (best if place is None else place for place in known)
    return start_at, middle_at, stop_at


def _reversed(motion: Motion, start: int, stop: int, likely: dict[int, float]) -> Stretch | None:
    """Look for a run whose last frame follows what is before it, and whose first leads on."""
    if likely[start] + likely[stop] < SURE_TURN:
        return None
    before = np.arange(max(0, start - _SIDE), start)
    runs = before, np.arange(start, stop)[::-1], _from(motion, stop)
    if not all(follows(motion, *pair) for pair in pairwise(runs)):
        return None
    detail = (
        f"{stop - start} frames run backwards: turned round, both their ends follow what is "
        "beside them."
    )
    return Stretch("reordered_run", start, stop, detail, 0.8)


def follows(motion: Motion, left: Indices, right: Indices) -> bool:
    """Tell whether the first frame of one run could be the next one after another run's last.

    Args:
        motion: The motion of the recording.
        left: Frames of the earlier run, in the order in which they would be played.
        right: Frames of the run that may follow it, likewise.
    """
    left, right = left[-AROUND - 1 :], right[: AROUND + 1]
    if min(left.size, right.size) <= NEAR:
        return False
    usual = max(_usual(motion, left[::-1]), _usual(motion, right))
    step = float(motion.distance(left[-1], right[0])[0])
    if usual < MOVING or step > FOLLOWS * usual + NOISE:
        return False
    joint = Trail.of(motion, np.concatenate([left, right])).joint(left.size)
    likely = joint.likely if joint else -np.inf
    if step <= usual:
        return likely < FIRM
    further = motion.distance(np.array([left[-NEAR - 1], left[-1]]), right[[0, NEAR]])
    return float(further.min()) >= APART * step and likely < ORDINARY


def _usual(motion: Motion, away: Indices) -> float:
    """Return the usual step on one side of a frame, leading away from it."""
    part = motion.distance(away[:_BESIDE][: away.size - 1], away[1 : _BESIDE + 1])
    return float(np.percentile(part, 75))
