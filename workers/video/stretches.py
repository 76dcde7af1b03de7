"""Which stretches of a long recording are decoded picture by picture; the rest at key pictures."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from shared.agreement import Span
from shared.dense import Packets
from shared.media import FULL_DECODE_FRAMES

Floats = NDArray[np.float64]

#: Shorter stretches show too little of what usually happens, in seconds.
MIN_S = 6.0
#: Longer groups of pictures are cut, in seconds: encoders make them of up to 10 s unasked.
MOST_S = 12.0
#: Share of the chosen stretches that packets point to; the others are spread evenly.
POINTED_SHARE = 0.5
#: Packets on each side that tell what size is usual.
_BESIDE = 15
#: Stretches begin this far into their first group of pictures, in seconds: where sound begins
#: before the picture, seeks count from there, and one that falls short decodes a group more.
_INTO_S = 0.1


def choose(packets: Packets, budget_s: float) -> tuple[Span, ...]:
    """Choose stretches of about `budget_s` together, of whole groups of pictures up to `MOST_S`.

    Args:
        packets: Of the whole track.
        budget_s: Seconds that are decoded picture by picture, about.

    Returns:
        Start and length of each in seconds, in order; nothing where the recording is short enough
        to be decoded from end to end, or, unless it is long, no key pictures to begin at.
    """
    pieces = _pieces(packets)
    total_s = sum(end - start for start, end in pieces)
    is_short = packets.key.size <= FULL_DECODE_FRAMES
    if total_s <= 1.2 * budget_s or (is_short and len(pieces) < 2):  # noqa: PLR2004
        return ()
    pieces = _cut(pieces)
    order = _spread(len(pieces))
    by_oddity = np.argsort([-_oddity(packets, piece) for piece in pieces], kind="stable").tolist()
    chosen = _fill([], by_oddity, pieces, POINTED_SHARE * budget_s)
    chosen = _fill(chosen, order, pieces, budget_s)
    return tuple(
        (start + (_INTO_S if start > 0 else 0.0), end - start - (_INTO_S if start > 0 else 0.0))
        for start, end in _joined([pieces[number] for number in sorted(chosen)])
    )


def times_from_first_shown(packets: Packets) -> Floats:
    """Return times from the first shown picture on, in seconds, NaN for what is not shown."""
    times = np.where(packets.hidden, np.nan, packets.pts_s)
    return times if np.isnan(times).all() else np.asarray(times - np.nanmin(times))


def key_times(packets: Packets) -> Floats:
    """Return the times of key pictures from the first shown picture on, in order, in seconds."""
    times = times_from_first_shown(packets)[packets.key]
    return np.sort(times[~np.isnan(times)])


def _pieces(packets: Packets) -> list[tuple[float, float]]:
    """Cut the track at key pictures into pieces of at least `MIN_S`; starts and ends."""
    keys = key_times(packets)
    if not keys.size:
        return []
    last = float(np.nanmax(times_from_first_shown(packets)))
    starts = [0.0]
    for time_s in keys.tolist():
        if time_s - starts[-1] >= MIN_S and last - time_s >= MIN_S:
            starts.append(time_s)
    return list(pairwise([*starts, last]))


def _cut(pieces: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Cut pieces that would use up most of the budget; a decoder has further to go to begin there.

    Without that, what lies in a long group of pictures would not be looked at.
    """
    cut: list[tuple[float, float]] = []
    for start, end in pieces:
        parts = ceil((end - start) / MOST_S)
        cut += pairwise(np.linspace(start, end, parts + 1).tolist())
    return cut


def _spread(count: int) -> list[int]:
    """Return 0 to `count` - 1 so that the first few of any length lie evenly: van der Corput."""
    bits = max(1, (count - 1).bit_length())
    order = [int(f"{n:0{bits}b}"[::-1], 2) for n in range(2**bits)]
    return [n for n in order if n < count]


def _oddity(packets: Packets, piece: tuple[float, float]) -> float:
    """Return how much the oddest packet of a piece differs from its neighbours, as a ratio.

    A joint inside a shot makes a large packet, pictures that stand still make small ones.
    """
    times = times_from_first_shown(packets)
    inside = (times >= piece[0]) & (times < piece[1]) & ~packets.key
    sizes = np.log(packets.size_bytes[inside].astype(np.float64) + 64)
    if sizes.size <= 2 * _BESIDE:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(sizes, 2 * _BESIDE + 1)
    usual = np.median(windows, axis=1)
    return float(np.abs(sizes[_BESIDE:-_BESIDE] - usual).max())


def _fill(
    chosen: list[int], order: list[int], pieces: list[tuple[float, float]], limit_s: float
) -> list[int]:
    """Add pieces in an order while they fit; one that alone is over the limit is passed over."""
    spent_s = sum(pieces[n][1] - pieces[n][0] for n in chosen)
    for number in order:
        length_s = pieces[number][1] - pieces[number][0]
        if number not in chosen and spent_s + length_s <= 1.1 * limit_s:
            chosen = [*chosen, number]
            spent_s += length_s
    return chosen


def _joined(pieces: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join pieces that follow each other."""
    joined: list[tuple[float, float]] = []
    for start, end in pieces:
        if joined and start - joined[-1][1] < 1e-6:  # noqa: PLR2004  # the same key picture
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
