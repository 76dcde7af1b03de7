"""Pictures that are lit by a flash: a camera's, lightning, a strobe. They are no cuts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Longest flash, in pictures.
LONGEST = 8
#: Grey levels by which a flash changes the mean of a picture, at least.
BRIGHTENS = 6.0
#: Correlation of a lit picture with the one beside it, in those of the neighbours that follow each
#: other, from which on both show the same; and the least of all.
ALIKE, LEAST = 0.9, 0.6
#: Neighbours that are looked at, on either side.
_BESIDE = 4
#: Share of that change by which the pictures beside a flash may differ in their means, at most.
_BACK = 0.5
#: Grey levels beyond which a pixel says nothing, and share of pixels that must say something.
_CLIPPED, _LEFT = 250, 0.35

Pictures = NDArray[np.uint8]


def without(pictures: Pictures) -> tuple[Pictures, int]:
    """Replace what a flash lights by what lies between the pictures before and after it.

    A flash is brighter than both, and its ends are nearly as much like the pictures beside them as
    those are like their own neighbours. A sensor that is read line by line is lit in some lines
    only, so pictures are also alike where that is all they differ by; one that is nearly white all
    over speaks against nothing.

    Args:
        pictures: Grey, shape (n, height, width).

    Returns:
        Pictures of that shape, and how many of them were replaced.
    """
    levels = pictures.mean(axis=(1, 2))
    rises = np.flatnonzero(np.diff(levels) >= BRIGHTENS)
    out, end, replaced = pictures, 0, 0
    for before in map(int, rises):
        after = _end(pictures, levels, before) if before >= end else None
        if after is None:
            continue
        if out is pictures:
            out = pictures.copy()
        share = np.linspace(0, 1, after - before + 1)[1:-1, None, None]
        between = pictures[before] * (1 - share) + pictures[after] * share
        out[before + 1 : after] = np.rint(between).astype(np.uint8)
        replaced += after - before - 1
        end = after
    return out, replaced


def _end(pictures: Pictures, levels: NDArray[np.float64], before: int) -> int | None:
    """Return the first picture after a flash that begins after one; None where it is none."""
    for after in range(before + 2, min(len(pictures), before + LONGEST + 2)):
        rise = float(levels[before + 1 : after].max() - levels[before])
        if levels[after] - levels[before] <= _BACK * rise and levels[after - 1] > levels[after]:
            ends = (before, before + 1), (after - 1, after)
            needed = max(LEAST, ALIKE * _least_likeness(pictures, before, after))
            alike = all(_likeness(pictures[one], pictures[other]) >= needed for one, other in ends)
            return after if alike else None
    return None


def _least_likeness(pictures: Pictures, before: int, after: int) -> float:
    """Return the least likeness of pictures that follow each other, on both sides of a flash."""
    firsts = [*range(max(0, before - _BESIDE), before), *range(after, after + _BESIDE)]
    pairs = [(at, at + 1) for at in firsts if at + 1 < len(pictures)]
    found = [_likeness(pictures[one], pictures[other]) for one, other in pairs]
    return min(found, default=1.0)


def _likeness(one: Pictures, other: Pictures) -> float:
    """Return how much two pictures show the same, lit differently as a whole or line by line."""
    told = (one < _CLIPPED) & (other < _CLIPPED)
    if told.mean() < _LEFT:
        return 1.0
    left, right = (np.where(told, picture, np.nan).astype(np.float64) for picture in (one, other))
    lines = told.sum(axis=1) > 1
    by_line = (p[lines] - np.nanmean(p[lines], axis=1, keepdims=True) for p in (left, right))
    return max(_correlation(left, right), _correlation(*by_line))


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    left, right = one - np.nanmean(one), other - np.nanmean(other)
    power = float(np.sqrt(np.nansum(left**2) * np.nansum(right**2)))
    return float(np.nansum(left * right)) / power if power > 0 else 0.0
