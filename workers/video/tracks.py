"""Follow faces from sampled frame to sampled frame, and across shots, into persons."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.video.faces import Face, Image, overlap

#: Persons looked out for at a time; whoever was seen least makes room for another.
MAX_TRACKS = 32
#: Sampled frames further apart than this are not compared by position, in seconds.
MAX_GAP_S = 3.0
#: Boxes that overlap at least this much are one person, if they look alike.
MIN_OVERLAP = 0.2
#: Likeness (correlation of aligned faces) that position alone needs, and that stands alone.
LIKE_NEAR, LIKE_FAR = 0.3, 0.85
_SIDE_PX = 24
#: Where the five points of an aligned face lie, in shares of its side.
_TEMPLATE = np.array(
    [[0.31, 0.38], [0.69, 0.38], [0.5, 0.58], [0.35, 0.76], [0.65, 0.76]], dtype=np.float32
)

Floats = NDArray[np.float32]


def likeness_vector(image: Image, face: Face) -> Floats:
    """Return the aligned grey face, centred and of unit length, shape (576,).

    It tells two people in one recording apart; it recognises nobody.
    """
    aligned = align(image, face, _SIDE_PX)
    grey = cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY).astype(np.float32).ravel()
    grey -= grey.mean()
    return np.asarray(grey / max(float(np.linalg.norm(grey)), 1e-6), dtype=np.float32)


def align(image: Image, face: Face, side_px: int) -> Image:
    """Turn, scale and shift a face so that its points lie in fixed places."""
    target = _TEMPLATE * side_px
    return np.asarray(
        cv2.warpAffine(
            image, similarity(face.points, target), (side_px, side_px), flags=cv2.INTER_LINEAR
        ),
        dtype=np.uint8,
    )


def similarity(source: Floats, target: Floats) -> NDArray[np.float64]:
    """Fit rotation, scale and shift by least squares, shape (2, 3)."""
    from_middle, to_middle = source.mean(axis=0), target.mean(axis=0)
    (x, y) = (source - from_middle).astype(np.float64).T
    (u, v) = (target - to_middle).astype(np.float64).T
    power = max(float((x * x + y * y).sum()), 1e-6)
    a, b = float((x * u + y * v).sum()) / power, float((x * v - y * u).sum()) / power
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, to_middle - turn @ from_middle])


@dataclass
class Track:
    """One person.

    Attributes:
        person: Number from 0 in order of appearance.
        last: The latest face.
        last_s: When it was seen, in seconds.
        looks: Mean likeness vector.
    """

    person: int
    last: Face
    last_s: float
    looks: Floats
    seen: int = 1

    def fit(self, face: Face, looks: Floats, time_s: float) -> float:
        """Return how well a face continues this track; 0 is not at all."""
        likeness = float(self.looks @ looks) / max(float(np.linalg.norm(self.looks)), 1e-6)
        near = overlap(self.last, face) if time_s - self.last_s <= MAX_GAP_S else 0.0
        if near >= MIN_OVERLAP and likeness >= LIKE_NEAR:
            return 1 + near + likeness
        return likeness if likeness >= LIKE_FAR else 0.0

    def add(self, face: Face, looks: Floats, time_s: float) -> None:
        """Continue the track."""
        self.last, self.last_s = face, time_s
        self.seen += 1
        self.looks = (self.looks + (looks - self.looks) / self.seen).astype(np.float32)


@dataclass
class Tracker:
    """The persons of one recording, in memory that does not grow with its length."""

    tracks: dict[int, Track] = field(default_factory=dict)
    _persons: itertools.count[int] = field(default_factory=itertools.count)

    def assign(self, faces: list[tuple[Face, Floats]], time_s: float) -> list[int]:
        """Give every face of one frame its person, best fits first, or begin a new one."""
        fits = sorted(
            (
                (-fit, number, track.person)
                for number, (face, looks) in enumerate(faces)
                for track in self.tracks.values()
                if (fit := track.fit(face, looks, time_s)) > 0
            ),
        )
        persons: dict[int, int] = {}
        for _, number, person in fits:
            if number not in persons and person not in persons.values():
                persons[number] = person
                self.tracks[person].add(*faces[number], time_s)
        for number, (face, looks) in enumerate(faces):
            if number not in persons:
                persons[number] = self._begin(face, looks, time_s)
        return [persons[number] for number in range(len(faces))]

    def _begin(self, face: Face, looks: Floats, time_s: float) -> int:
        if len(self.tracks) == MAX_TRACKS:
            least = min(self.tracks.values(), key=lambda track: (track.seen, track.last_s))
            del self.tracks[least.person]
        person = next(self._persons)
        self.tracks[person] = Track(person, face, time_s, looks)
        return person
