"""From window scores to a statement about the recording: calibration, timeline, findings."""

from __future__ import annotations

import math
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
)
from shared.models import numbers
from shared.records import Finding, TimelinePoint

#: A located finding needs this probability at even prior, smoothed over neighbouring windows.
FINDING_PROBABILITY = 0.9
SYNTHETIC_SPEECH = "synthetic_speech"


@dataclass(frozen=True)
class Scored:
    """One scored window; times in seconds from the start of the recording."""

    start_s: float
    end_s: float
    speech_s: float
    score: float
    distance: float


@dataclass(frozen=True)
class Calibration:
    """Numbers fitted on out-of-fold scores that turn scores into log-likelihood ratios.

    Attributes:
        scale: Weight of the mean score of a stretch.
        top_scale: Weight of what its highest quarter of windows has above that mean.
        offset: Added to both.
        window_scale: Weight of a single window's score.
        window_offset: Added to it.
        llr_limit: No statement is stronger than this, in nats either way; from the amount of data.
        spread: Standard deviation of the log-likelihood ratio between like recordings, in nats.
        distance_usual: Distance from the training data that 1 in 20 unseen recordings exceed.
        distance_unfamiliar: Distance that 1 in 200 of them exceed.
        threshold: Log-likelihood ratio from which the shipped figures count an alarm.
    """

    scale: float
    top_scale: float
    offset: float
    window_scale: float
    window_offset: float
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
        return numbers(cls, params, "the voice detector")

    def of_windows(self, scores: Floats) -> Floats:
        """Return the log-likelihood ratio of each window on its own."""
        llr = self.window_scale * scores + self.window_offset
        return np.clip(llr, -self.llr_limit, self.llr_limit)

    def of_recording(self, scores: Floats) -> float:
        """Return the log-likelihood ratio of a recording, in nats.

        A manipulated recording is so in one stretch, any of them alike: the ratio is the mean of
        those of the stretches.

        Args:
            scores: Of the recording's windows, in order of time.
        """
        return one_of(self.of_stretch(some) for some in stretches(scores))

    def of_stretch(self, scores: Floats) -> float:
        """Return the log-likelihood ratio of one stretch of a recording alone, in nats."""
        mean = float(scores.mean())
        llr = self.scale * mean + self.top_scale * (top_quarter(scores) - mean) + self.offset
        return max(-self.llr_limit, min(self.llr_limit, llr))


@dataclass(frozen=True)
class Pooled:
    """The statement about a whole recording."""

    llr: float
    interval: tuple[float, float]
    probability: float
    signals: dict[str, float]


def pool(scored: Sequence[Scored], calibration: Calibration, shift: float) -> Pooled:
    """Combine the windows of a recording.

    Args:
        scored: At least one window.
        calibration: The fitted numbers.
        shift: How far scores move under slight degradation, in score units.
    """
    scores = np.array([item.score for item in scored])
    llr = calibration.of_recording(scores)
    reach = math.hypot(calibration.spread, calibration.scale * shift)
    distance = float(np.mean([item.distance for item in scored]))
    windows = calibration.of_windows(scores)
    usual, unfamiliar = calibration.distance_usual, calibration.distance_unfamiliar
    return Pooled(
        llr=round(llr, 4),
        interval=(round(llr - reach, 4), round(llr + reach, 4)),
        probability=round(to_probability(llr), 4),
        signals={
            "score_mean": round(float(scores.mean()), 4),
            "score_top": round(top_quarter(scores), 4),
            "share_of_windows": round(float((windows > 0).mean()), 4),
            "distance": round(distance, 4),
            "out_of_distribution": round(unfamiliarity(distance, usual, unfamiliar), 4),
        },
    )


def top_quarter(scores: Floats) -> float:
    """Return the mean of the highest quarter of the smoothed scores, at least one of them."""
    count = math.ceil(scores.size / 4)
    return float(np.sort(smooth(scores))[-count:].mean())


def timeline(scored: Sequence[Scored], calibration: Calibration) -> tuple[TimelinePoint, ...]:
    """Return the smoothed probability over time; stretches without speech are left out.

    Each window speaks for the time up to the next one's start; windows are averaged in equal
    runs where there are more than `MAX_POINTS`.
    """
    llr = smooth(calibration.of_windows(np.array([item.score for item in scored])))
    run = math.ceil(len(scored) / MAX_POINTS)
    points = []
    for first in range(0, len(scored), run):
        last = min(first + run, len(scored)) - 1
        points.append(
            TimelinePoint(
                start_s=round(scored[first].start_s, 3),
                end_s=round(_end_s(scored, last), 3),
                probability=round(to_probability(float(llr[first : last + 1].mean())), 4),
            )
        )
    return tuple(points)


def _end_s(scored: Sequence[Scored], index: int) -> float:
    if index + 1 < len(scored):
        return min(scored[index].end_s, max(scored[index + 1].start_s, scored[index].start_s))
    return scored[index].end_s


def findings(scored: Sequence[Scored], calibration: Calibration) -> tuple[Finding, ...]:
    """Locate stretches whose smoothed probability is high, in order of time."""
    llr = smooth(calibration.of_windows(np.array([item.score for item in scored])))
    limit = math.log(FINDING_PROBABILITY / (1 - FINDING_PROBABILITY))
    found: list[Finding] = []
    first: int | None = None
    for index in range(len(scored) + 1):
        high = index < len(scored) and llr[index] >= limit
        if high and first is None:
            first = index
        elif not high and first is not None:
            found.append(_finding(scored, llr, first, index - 1))
            first = None
    return tuple(found)


def _finding(scored: Sequence[Scored], llr: Floats, first: int, last: int) -> Finding:
    strength = to_probability(float(llr[first : last + 1].mean()))
    windows = last - first + 1
    which = f"{windows} consecutive windows sound" if windows > 1 else "One window sounds"
    return Finding(
        type=SYNTHETIC_SPEECH,
        start_s=round(scored[first].start_s, 3),
        end_s=round(scored[last].end_s, 3),
        detail=f"{which} synthetic.",
        strength=round(strength, 4),
    )
