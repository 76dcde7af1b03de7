"""From the scores of faces to a statement about the recording: persons, calibration, timeline."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.calibration import (
    MAX_POINTS,
    Floats,
    one_of,
    smooth,
    stretches,
    to_probability,
    unfamiliarity,
    who_count,
)
from shared.models import numbers
from shared.records import Person, TimelinePoint

#: One face in this many is among the lowest.
LOW = 4


@dataclass(frozen=True)
class Scored:
    """One scored face.

    Attributes:
        person: Whose it is.
        time_s: When it was seen, in seconds.
        score: Output of the network; higher is more likely manipulated.
        distance: How far it lies from the training data.
    """

    person: int
    time_s: float
    score: float
    distance: float


@dataclass(frozen=True)
class Calibration:
    """Numbers fitted on out-of-fold scores that turn scores into log-likelihood ratios.

    Attributes:
        narrow: Side of the narrow square in which a face is scored, in longer sides of its box.
        wide: And of the wide one.
        scale: Weight of what a stretch of a person's faces is judged by, see `low_quarter`.
        offset: Added to it.
        face_scale: Weight of the score of a single face.
        face_offset: Added to it.
        llr_limit: No statement is stronger than this, in nats either way.
        spread: Standard deviation of the ratio between like recordings, in nats.
        distance_usual: Distance from the training data that 1 in 20 unseen recordings exceed.
        distance_unfamiliar: Distance that 1 in 200 of them exceed.
        threshold: Log-likelihood ratio from which the shipped figures count an alarm.
    """

    narrow: float
    wide: float
    scale: float
    offset: float
    face_scale: float
    face_offset: float
    llr_limit: float
    spread: float
    distance_usual: float
    distance_unfamiliar: float
    threshold: float

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> Calibration:
        """Read the numbers from a registry entry.

        Raises:
            SetupError: One is missing or no number.
        """
        return numbers(cls, params, "the face detector")

    def of_person(self, scores: Floats) -> float:
        """Return the log-likelihood ratio of one person, in nats.

        A manipulated person is so in one stretch of the recording, any of them alike: the ratio is
        the mean of those of the stretches.

        Args:
            scores: Of the person's faces, in order of time.
        """
        return one_of(self.of_stretch(some) for some in stretches(scores))

    def of_stretch(self, scores: Floats) -> float:
        """Return the log-likelihood ratio of one stretch of a person's faces alone, in nats."""
        return self._limit(self.scale * low_quarter(scores) + self.offset)

    def of_face(self, score: float) -> float:
        """Return the log-likelihood ratio of one face alone, in nats."""
        return self._limit(self.face_scale * score + self.face_offset)

    def _limit(self, llr: float) -> float:
        return max(-self.llr_limit, min(self.llr_limit, llr))


def low_quarter(scores: Floats) -> float:
    """Return what a stretch of faces is judged by: the mean of the lowest quarter of the scores.

    A made face is suspicious at every look, a genuine one at some: blurred, turned, or covered.
    """
    return float(np.sort(scores)[: math.ceil(scores.size / LOW)].mean())


@dataclass(frozen=True)
class Pooled:
    """The statement about a whole recording."""

    llr: float
    interval: tuple[float, float]
    probability: float
    persons: tuple[Person, ...]
    signals: dict[str, float]


def pool(scored: Sequence[Scored], calibration: Calibration, shift: float) -> Pooled:
    """Combine the faces of a recording.

    A manipulated recording has one manipulated person among those seen, any of them alike: the
    likelihood ratio of the recording is then the mean of those of its persons.

    Args:
        scored: At least one face.
        calibration: The fitted numbers.
        shift: How far scores move under slight degradation, in score units.
    """
    persons = tuple(_persons(scored, calibration))
    llr = one_of(person.llr for person in who_count(persons))
    reach = math.hypot(calibration.spread, calibration.scale * shift)
    distance = float(np.mean([item.distance for item in scored]))
    scores = np.array([item.score for item in scored])
    usual, unfamiliar = calibration.distance_usual, calibration.distance_unfamiliar
    return Pooled(
        llr=round(llr, 4),
        interval=(round(llr - reach, 4), round(llr + reach, 4)),
        probability=round(to_probability(llr), 4),
        persons=persons,
        signals={
            "score_mean": round(float(scores.mean()), 4),
            "score_spread": round(float(scores.std()), 4),
            "persons": float(len(persons)),
            "distance": round(distance, 4),
            "out_of_distribution": round(unfamiliarity(distance, usual, unfamiliar), 4),
        },
    )


def _persons(scored: Sequence[Scored], calibration: Calibration) -> list[Person]:
    persons = []
    for number in sorted({item.person for item in scored}):
        own = [item for item in scored if item.person == number]
        llr = calibration.of_person(np.array([item.score for item in own]))
        persons.append(
            Person(
                person=number,
                start_s=round(own[0].time_s, 3),
                end_s=round(own[-1].time_s, 3),
                frames=len(own),
                llr=round(llr, 4),
                probability=round(to_probability(llr), 4),
            )
        )
    return persons


def timeline(
    scored: Sequence[Scored], calibration: Calibration, looked: Sequence[float]
) -> tuple[TimelinePoint, ...]:
    """Return the smoothed probability of the most suspicious face over time.

    A face speaks for the time up to the next look, whether that found one or not: what lies
    between the last look at a face and the next one is left out.

    Args:
        scored: Faces in order of time.
        calibration: The fitted numbers.
        looked: Times of all pictures in which faces were looked for, in order, and at last when
            the pictures end, in seconds.
    """
    times = sorted({item.time_s for item in scored})
    worst = dict.fromkeys(times, -math.inf)
    for item in scored:
        worst[item.time_s] = max(worst[item.time_s], calibration.of_face(item.score))
    llr = smooth(np.array([worst[time] for time in times]))
    run = math.ceil(len(times) / MAX_POINTS)
    return tuple(
        TimelinePoint(
            start_s=round(times[first], 3),
            end_s=round(_next_look(looked, times[min(first + run, len(times)) - 1]), 3),
            probability=round(to_probability(float(llr[first : first + run].mean())), 4),
        )
        for first in range(0, len(times), run)
    )


def _next_look(looked: Sequence[float], time_s: float) -> float:
    """Return when the next look after a time was; that time itself where there is none."""
    later = bisect_right(looked, time_s)
    return looked[later] if later < len(looked) else time_s
