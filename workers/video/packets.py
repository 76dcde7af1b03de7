"""What the container tells about the making of a video, without a look at the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.dense import Packets

Floats = NDArray[np.float64]

#: A gap is at least this long, and at least so many usual intervals.
MIN_GAP_S, MIN_GAP_INTERVALS = 0.4, 6.0
#: With more gaps, or with intervals that vary more than this, a recording is no steady one
#: (screen recordings and slide shows store a picture only when it changes).
MAX_GAPS, MAX_SPREAD = 3, 2.5
#: With more changes of the groups' length, an encoder changes it as it goes.
MAX_CHANGES = 3
#: Pictures below which no interval is usual.
MIN_PICTURES = 8
#: Delays between decoding and showing that vary less than this do not reorder, in seconds.
_STILL_S = 1e-3
#: Shortest hidden stretch that is told, in seconds.
MIN_HIDDEN_S = 0.3
#: Groups of equal length on both sides that make a change of the length credible.
STEADY_GROUPS = 3


@dataclass(frozen=True)
class Gap:
    """A hole between two presentation times."""

    start_s: float
    end_s: float
    intervals: float


@dataclass(frozen=True)
class GroupChange:
    """The place where the groups of pictures get another length."""

    at_s: float
    before: int
    after: int
    reordering_too: bool


def shown_times(packets: Packets) -> Floats:
    """Return the presentation times of all shown pictures, in order."""
    times = packets.pts_s[~packets.hidden & np.isfinite(packets.pts_s)]
    return np.unique(times)


def find_gaps(packets: Packets) -> list[Gap]:
    """Find holes in otherwise steady presentation times."""
    times = shown_times(packets)
    if times.size < MIN_PICTURES:
        return []
    intervals = np.diff(times)
    usual = float(np.median(intervals))
    if usual <= 0 or np.percentile(intervals, 90) > MAX_SPREAD * usual:
        return []
    wide = np.flatnonzero(intervals > max(MIN_GAP_S, MIN_GAP_INTERVALS * usual))
    if wide.size > MAX_GAPS:
        return []
    return [
        Gap(float(times[at]), float(times[at + 1]), float(intervals[at] / usual)) for at in wide
    ]


def hidden_s(packets: Packets) -> float:
    """Return the length of the pictures that are in the file but not shown."""
    times = np.sort(packets.pts_s[packets.hidden & np.isfinite(packets.pts_s)])
    if not times.size:
        return 0.0
    shown = shown_times(packets)
    interval = float(np.median(np.diff(shown))) if shown.size > 1 else 0.0
    return float(times.size * interval)


def find_group_changes(packets: Packets) -> list[GroupChange]:
    """Find the places where steady groups of pictures get another steady length.

    None where that is an encoder's habit.
    """
    keys = np.flatnonzero(packets.key)
    lengths = np.diff(keys)
    changes = []
    at = STEADY_GROUPS
    while at + STEADY_GROUPS <= lengths.size:
        left = lengths[at - STEADY_GROUPS : at]
        for skip in (0, 1):  # the last group before the change may be a shorter one
            right = lengths[at + skip : at + skip + STEADY_GROUPS]
            if right.size == STEADY_GROUPS and _steady(left) and _steady(right):
                before, after = int(left[0]), int(right[0])
                place = int(keys[at + skip])
                if before != after and np.isfinite(packets.pts_s[place]):
                    changes.append(_change(packets, place, before, after))
                    at += STEADY_GROUPS
                    break
        at += 1
    return changes if len(changes) <= MAX_CHANGES else []


def scheduled_keys(packets: Packets) -> Floats:
    """Return the times of key pictures that end a group of a length that comes more than once."""
    keys = np.flatnonzero(packets.key)
    lengths, which, counts = np.unique(np.diff(keys), return_inverse=True, return_counts=True)
    if not lengths.size:
        return np.empty(0)
    return np.asarray(packets.pts_s[keys[1:][counts[which] > 1]])


def _steady(lengths: NDArray[np.int64]) -> bool:
    return bool((lengths == lengths[0]).all())


def _change(packets: Packets, place: int, before: int, after: int) -> GroupChange:
    delays = packets.pts_s - packets.dts_s
    left = float(np.ptp(delays[max(0, place - 4 * before) : place]))
    right = float(np.ptp(delays[place : place + 4 * after]))
    reordering = bool(
        np.isfinite(left) and np.isfinite(right) and (left > _STILL_S) != (right > _STILL_S)
    )
    return GroupChange(float(packets.pts_s[place]), before, after, reordering)
