"""Pictures that are looked at because key pictures leave a recording unseen for long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from shared.agreement import Span

#: Encoders make groups of up to 10 s unasked; nobody's face may come and go unseen in one of a
#: short recording. Of a long one, this share of its length may pass without a look.
LONGEST_S, LONGEST_SHARE = 5.0, 1 / 48


@dataclass(frozen=True)
class Looks:
    """Evenly spaced looks into a stretch that is unseen otherwise.

    Attributes:
        start_s: The first look.
        gap_s: Time from one to the next.
        count: How many.
    """

    start_s: float
    gap_s: float
    count: int


def looks(
    keys_s: Sequence[float], spans: Sequence[Span], length_s: float, usual_s: float
) -> list[Looks]:
    """Return what to look at besides key pictures and the stretches that are seen anyway.

    Args:
        keys_s: Times of key pictures.
        spans: Start and length of the stretches.
        length_s: Of the recording.
        usual_s: Time between two looks that is wanted.
    """
    longest_s = max(LONGEST_S, LONGEST_SHARE * length_s, 1.25 * usual_s)
    seen = [*((key_s, key_s) for key_s in keys_s), *((at, at + long) for at, long in spans)]
    found, until_s = [], 0.0
    for start_s, end_s in [*sorted(seen), (length_s, length_s)]:
        if start_s - until_s > longest_s:
            parts = ceil((start_s - until_s) / longest_s)
            gap_s = (start_s - until_s) / parts
            found.append(Looks(until_s + gap_s, gap_s, parts - 1))
        until_s = max(until_s, end_s)
    return found
