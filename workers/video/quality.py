"""Whether faces are good enough to score, and what is said where too few of them are."""

from __future__ import annotations

from collections.abc import Mapping

from shared.errors import (
    FaceTooBlurred,
    FaceTooSmall,
    NoFace,
    NotApplicable,
    ProfileOnly,
    TooFewFrames,
)
from workers.video.faces import Face, Image, sharpness

#: Faces below which nothing is said.
MIN_FACES = 3
#: Longer side of the smallest face box that is scored, in pixels.
MIN_FACE_PX = 64
#: Heads turned further than this (see `Face.turn`) are profiles.
MAX_TURN = 0.75
#: Faces less sharp than this (see `sharpness`) are too blurred; development faces start at 0.15.
MIN_SHARPNESS = 0.1

_REFUSALS: dict[str, type[NotApplicable]] = {
    kind.code: kind for kind in (FaceTooSmall, FaceTooBlurred, ProfileOnly)
}


def unfit(image: Image, face: Face) -> str | None:
    """Say why a face of a BGR picture cannot be scored; None where it can."""
    left, top, right, bottom = face.box
    if max(right - left, bottom - top) < MIN_FACE_PX:
        return FaceTooSmall.code
    if face.turn > MAX_TURN:
        return ProfileOnly.code
    if sharpness(image, face) < MIN_SHARPNESS:
        return FaceTooBlurred.code
    return None


def refusal(usable: int, frames: int, dropped: Mapping[str, int]) -> NotApplicable | None:
    """Choose the typed non-answer that fits best; None where there are enough faces.

    Args:
        usable: Faces that were scored.
        frames: Frames that were looked at.
        dropped: How many faces were unfit, by the reasons of `unfit`.
    """
    if usable >= MIN_FACES:
        return None
    faults = {code: dropped[code] for code in _REFUSALS if dropped.get(code)}
    worst = max(faults, key=lambda code: faults[code], default=None)
    if worst and (faults[worst] >= MIN_FACES or not usable):
        return _REFUSALS[worst]()
    if usable or frames < MIN_FACES:
        return TooFewFrames(f"{usable} usable faces in {frames} frames; {MIN_FACES} are needed.")
    return NoFace()
