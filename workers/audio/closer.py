"""A closer look at what sounds most synthetic: shorter windows, against the rest of a recording."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.calibration import smooth, to_probability
from shared.media import PCM_RATE
from shared.records import Finding
from workers.audio.pooling import FINDING_PROBABILITY, SYNTHETIC_SPEECH, Calibration, Scored
from workers.audio.windows import MIN_WINDOW_SPEECH_S, WINDOW, Window

#: Length of a short window (2 s), and from one to the next (0.5 s), in samples: windows of 4 s
#: two seconds apart seldom hold a sentence without its neighbours.
SHORT = 2 * PCM_RATE
HOP = PCM_RATE // 2
#: The middle of a short window is at most so far from that of its place, in seconds.
REACH_S = 2.0
#: A window and both of its neighbours: more is out of reach.
_MOST_WINDOWS = 3
#: A place is worth a closer look where its log-likelihood ratio and what that has above the rest of
#: the recording come to this, in nats; it is looked at further where a short window's ratio does.
WORTH_A_LOOK = 1.5
#: So much above the rest lies what is found, in nats; from what genuine recordings reach.
ABOVE_REST = 2.5
#: Windows that overlap by no more than this are apart, in seconds.
_APART_S = 0.5

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """Where a stretch of a recording sounds most synthetic.

    Attributes:
        hottest: The score there.
        windows: What it comes from, and windows that touch that.
    """

    hottest: Scored
    windows: tuple[Window, ...]

    def reaches(self, window: Window) -> bool:
        """Whether the window that follows this one belongs to the place."""
        return self.windows[-1] is window and len(self.windows) < _MOST_WINDOWS

    def with_next(self, window: Window) -> Place:
        """Return the place with a window that follows."""
        return Place(self.hottest, (*self.windows, window))

    def short(self) -> Iterator[Window]:
        """Yield the short windows around the place, in order; how much they speak is not known."""
        samples = np.concatenate([one.samples[: one.end - one.start] for one in self.windows])
        times = np.concatenate([np.arange(one.start, one.end) for one in self.windows])
        middle_s = (self.hottest.start_s + self.hottest.end_s) / 2
        for first in range(0, samples.size - SHORT + 1, HOP):
            start, end = int(times[first]), int(times[first + SHORT - 1]) + 1
            if abs((start + end) / 2 / PCM_RATE - middle_s) <= REACH_S:
                yield Window(start, end, 0.0, np.resize(samples[first : first + SHORT], WINDOW))


def look_closer(
    places: Sequence[Place],
    scored: Sequence[Scored],
    calibration: Calibration,
    score: Callable[[list[Samples]], NDArray[np.float32]],
    spoken_s: Callable[[Window], float],
) -> tuple[Finding, ...]:
    """Locate sentences that sound synthetic in a recording that does not.

    Args:
        places: Where to look.
        scored: All windows of the recording.
        calibration: The fitted numbers.
        score: Scores windows, shape (n,).
        spoken_s: Tells how much speech a window holds, in seconds.
    """
    found = []
    for place in places:
        above = above_rest(place.hottest, scored, calibration)
        if _llr(place.hottest.score, calibration) + above < WORTH_A_LOOK:
            continue
        short = [window for window in place.short() if spoken_s(window) >= MIN_WINDOW_SPEECH_S]
        sentence = _most_synthetic(short, calibration, score)
        if sentence is None:
            continue
        probability = to_probability(_llr(sentence.score, calibration))
        is_above = above_rest(sentence, scored, calibration) >= ABOVE_REST
        if probability >= FINDING_PROBABILITY and is_above:
            found.append(
                Finding(
                    type=SYNTHETIC_SPEECH,
                    start_s=round(sentence.start_s, 3),
                    end_s=round(sentence.end_s, 3),
                    detail="Sounds synthetic, unlike the rest of the recording.",
                    strength=round(probability, 4),
                )
            )
    return tuple(sorted(found, key=lambda finding: finding.start_s))


def _most_synthetic(
    short: Sequence[Window],
    calibration: Calibration,
    score: Callable[[list[Samples]], NDArray[np.float32]],
) -> Scored | None:
    """Return the short window that sounds most synthetic, averaged with those beside it.

    Every other one is scored, and those beside the best if that is worth it.
    """
    if not short:
        return None
    first = range(0, len(short), 2)
    scores = dict(zip(first, score([short[at].samples for at in first]), strict=True))
    best = max(first, key=lambda at: float(scores[at]))
    if _llr(float(scores[best]), calibration) < WORTH_A_LOOK:
        return None
    beside = [at for at in (best - 1, best + 1) if 0 <= at < len(short)]
    if beside:
        scores |= zip(beside, score([short[at].samples for at in beside]), strict=True)
    three = np.array([scores.get(at, scores[best]) for at in (best - 1, best, best + 1)])
    window = short[best]
    return Scored(
        start_s=window.start / PCM_RATE,
        end_s=window.end / PCM_RATE,
        speech_s=window.speech_s,
        score=float(smooth(three.astype(np.float64))[1]),
        distance=0.0,
    )


def above_rest(one: Scored, others: Sequence[Scored], calibration: Calibration) -> float:
    """Return by how much a window sounds more synthetic than the mean of those elsewhere, in nats.

    A voice or a microphone that sounds synthetic throughout is above nothing; nor is what has no
    rest.
    """
    rest = [
        other.score
        for other in others
        if other.end_s <= one.start_s + _APART_S or other.start_s >= one.end_s - _APART_S
    ]
    return calibration.scale * (one.score - float(np.mean(rest))) if rest else -math.inf


def _llr(score: float, calibration: Calibration) -> float:
    """Return the log-likelihood ratio of a recording that is one window."""
    return calibration.of_recording(np.array([score]))
