"""Keep the face crops behind a score: the most and the least suspicious, and an even spread."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2

from shared.calibration import to_probability
from shared.records import Evidence, EvidenceRef
from workers.video.faces import Face, Image, cut
from workers.video.pooling import Calibration, Scored
from workers.video.scoring import Views

#: Crops kept as evidence: the most suspicious, and one least suspicious to compare.
MOST, LEAST = 4, 1
#: Crops scored again for the stability band.
SPREAD = 8
#: What a person sees: a wider square than the network's, at most this large.
SHOWN_MARGIN, SHOWN_SIDE_PX = 1.6, 256
_JPEG_QUALITY = 88


@dataclass(frozen=True, eq=False)
class Shot:
    """One face with its score.

    Attributes:
        scored: Person, time and score.
        views: The squares that the network saw, BGR.
        shown: The wider square for people, BGR.
    """

    scored: Scored
    views: Views
    shown: Image


def show(image: Image, face: Face) -> Image:
    """Cut what people are shown of a face out of a BGR picture."""
    return cut(image, face, SHOWN_MARGIN, SHOWN_SIDE_PX)


@dataclass
class Album:
    """Shots of one recording, in memory that does not grow with its length."""

    most: list[Shot] = field(default_factory=list)
    least: list[Shot] = field(default_factory=list)
    _spread: list[Shot] = field(default_factory=list)
    _stride: int = 1
    _count: int = 0

    def add(self, shot: Shot) -> None:
        """Consider one scored face."""
        self.most = sorted([*self.most, shot], key=lambda s: -s.scored.score)[:MOST]
        self.least = sorted([*self.least, shot], key=lambda s: s.scored.score)[:LEAST]
        if self._count % self._stride == 0:
            self._spread.append(shot)
            if len(self._spread) >= 2 * SPREAD:  # keep an even spread in bounded memory
                self._spread = self._spread[::2]
                self._stride *= 2
        self._count += 1

    @property
    def spread(self) -> list[Shot]:
        """At most `SPREAD` shots, spread evenly over the recording."""
        step = max(1, -(-len(self._spread) // SPREAD))
        return self._spread[::step]

    def evidence(self, calibration: Calibration) -> tuple[Evidence, ...]:
        """Encode the most suspicious shots and the least suspicious one as JPEG."""
        chosen = [*self.most, *(shot for shot in self.least if shot not in self.most)]
        return tuple(_encode(number, shot, calibration) for number, shot in enumerate(chosen))


def _encode(number: int, shot: Shot, calibration: Calibration) -> Evidence:
    _, code = cv2.imencode(".jpg", shot.shown, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    probability = to_probability(calibration.of_face(shot.scored.score))
    ref = EvidenceRef(
        name=f"face-{number}.jpg",
        kind="face",
        start_s=round(shot.scored.time_s, 3),
        probability=round(probability, 4),
        person=shot.scored.person,
    )
    return Evidence(ref, code.tobytes())
