"""What both detectors do with calibrated scores: smooth them, and say how likely and familiar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.records import Person

Floats = NDArray[np.float64]

#: Values of a stretch that is judged by itself; fewer than so many stretches are judged together.
STRETCH, LEAST_STRETCHES = 8, 3
#: A person seen in fewer faces than this share of the most-seen one, and in less than a stretch,
#: does not count.
MIN_SHARE = 0.25
#: Points of a timeline; longer recordings get coarser ones.
MAX_POINTS = 240
#: Weights of a value's neighbours in the timeline.
_SMOOTHING = np.array([0.25, 0.5, 0.25])


def smooth(values: Floats) -> Floats:
    """Average each value with its neighbours; at the ends it stands in for the missing one."""
    if values.size == 1:
        return values.astype(np.float64)
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.convolve(padded, _SMOOTHING, "valid")


def stretches(values: Floats) -> list[Floats]:
    """Cut values in order of time into stretches that overlap by about half; few are left whole."""
    if values.size < LEAST_STRETCHES * STRETCH:
        return [values]
    last = values.size - STRETCH
    starts = np.linspace(0, last, 1 + math.ceil(2 * last / STRETCH)).round().astype(int)
    return [values[start : start + STRETCH] for start in starts]


def one_of(llrs: Iterable[float]) -> float:
    """Return the log-likelihood ratio of "one of these, any of them alike": that of the mean ratio.

    In nats. Of parts of a recording, it says that one of them is manipulated: genuine parts cannot
    outweigh it, however many they are, beyond the share that they have.
    """
    return math.log(np.mean(np.exp([*llrs])))


def who_count(persons: Sequence[Person]) -> list[Person]:
    """Return the persons of a recording whose faces count, where any is seen."""
    most = max((person.frames for person in persons), default=0)
    enough = min(MIN_SHARE * most, STRETCH)
    return [person for person in persons if person.frames >= enough]


def unfamiliarity(distance: float, usual: float, unfamiliar: float) -> float:
    """Return 0 to 1 for a distance from the training data.

    Args:
        distance: Of a recording.
        usual: What 1 in 20 recordings exceed; there it is 0.5.
        unfamiliar: What 1 in 200 exceed; from there on it is 1.
    """
    span = max(unfamiliar - usual, 1e-9)
    return max(0.0, min(1.0, 0.5 + 0.5 * (distance - usual) / span))


def to_probability(llr: float) -> float:
    """Return the probability at even prior."""
    return 1 / (1 + math.exp(-llr))
