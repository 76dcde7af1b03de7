"""Pseudo-fakes made from one real face: the traces of blending and of regenerating a region.

After Shiohara and Yamasaki, Detecting Deepfakes with Self-Blended Images, CVPR 2022, with masks of
the whole face, the lower face and the mouth (lip-sync), and with a regenerated region: a generator
that works on a small square leaves less fine detail than what surrounds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.video_degrade import (
    Image,
    Random,
    blur,
    colours,
    jpeg,
    rescale,
    sharpen,
)

Mask = NDArray[np.float32]

#: Shares of pseudo-fakes that are redrawn as a whole, and that wear another person's face.
REDRAWN_SHARE, SWAPPED_SHARE = 0.25, 0.12


def _ellipse(
    shape: tuple[int, int], centre: NDArray[np.float32], axes: tuple[float, float], angle: float
) -> Mask:
    mask = np.zeros(shape, dtype=np.float32)
    middle = (round(float(centre[0])), round(float(centre[1])))
    size = (max(2, round(axes[0])), max(2, round(axes[1])))
    return np.asarray(cv2.ellipse(mask, middle, size, angle, 0, 360, 1.0, -1), dtype=np.float32)


def _mask(image: Image, points: NDArray[np.float32], rng: Random) -> Mask:
    """Draw the region that is replaced: whole face, lower face, mouth, eyes, or a box."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    across = points[1] - points[0]
    gap = float(np.linalg.norm(across))
    down = float(np.linalg.norm(mouth - eyes))
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    shape = (image.shape[0], image.shape[1])
    stretch = rng.uniform(0.85, 1.2, 2)
    kind = rng.choice(5, p=(0.4, 0.2, 0.25, 0.05, 0.1))
    if kind == 0:
        return _face_mask(image, points, rng)
    if kind == 1:  # lower face
        return _ellipse(shape, mouth, (gap * 0.85 * stretch[0], down * 0.65 * stretch[1]), angle)
    if kind == 2:  # mouth
        return _ellipse(shape, mouth, (gap * 0.55 * stretch[0], down * 0.32 * stretch[1]), angle)
    if kind == 3:  # band of the eyes
        return _ellipse(shape, eyes, (gap * 0.95 * stretch[0], down * 0.35 * stretch[1]), angle)
    mask = np.zeros(shape, dtype=np.float32)  # lower half of a detector's box, as Wav2Lip
    top = points[2][1] if rng.random() < 0.6 else eyes[1] - 0.6 * down
    left, right = eyes[0] - gap * stretch[0], eyes[0] + gap * stretch[0]
    bottom = mouth[1] + 0.75 * down * stretch[1]
    mask[max(0, round(top)) : max(1, round(bottom)), max(0, round(left)) : max(1, round(right))] = 1
    return mask


def _face_mask(image: Image, points: NDArray[np.float32], rng: Random) -> Mask:
    """Draw the whole face."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    across = points[1] - points[0]
    axes = np.array([np.linalg.norm(across), 1.25 * np.linalg.norm(mouth - eyes)])
    axes *= rng.uniform(0.85, 1.2, 2)
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    shape = (image.shape[0], image.shape[1])
    return _ellipse(shape, eyes * 0.45 + mouth * 0.55, (axes[0], axes[1]), angle)


def _deform(mask: Mask, rng: Random) -> Mask:
    """Bend the outline, then soften it."""
    side = mask.shape[0]
    field = rng.normal(0, side * 0.02, (4, 4, 2)).astype(np.float32)
    flow = cv2.resize(field, (mask.shape[1], side), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.mgrid[0:side, 0 : mask.shape[1]].astype(np.float32)
    bent = cv2.remap(mask, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(bent, (0, 0), float(rng.uniform(0.004, 0.03)) * side)
    if rng.random() < 0.5:
        soft = np.clip(soft * 2 - 1, 0, 1) if rng.random() < 0.5 else np.clip(soft * 2, 0, 1)
    return np.asarray(soft, dtype=np.float32)


def _regenerate(image: Image, face_px: float, rng: Random) -> Image:
    """Pass a picture through a small square and back, as a generator of that size would."""
    target = float(rng.choice((64, 96, 96, 128, 192, 256)))
    factor = float(np.clip(target / max(face_px * rng.uniform(1.0, 1.6), 1.0), 0.2, 0.85))
    out = rescale(image, factor, rng)
    if rng.random() < 0.3:
        out = np.asarray(cv2.bilateralFilter(out, 5, rng.uniform(10, 40), 3), dtype=np.uint8)
    if rng.random() < 0.2:
        out = np.asarray(cv2.medianBlur(out, 3), dtype=np.uint8)
    if rng.random() < 0.25:
        out = sharpen(out, rng)
    return out


def _move(image: Image, rng: Random) -> Image:
    """Shift, scale and bend a picture by a few per cent."""
    side = image.shape[0]
    matrix = cv2.getRotationMatrix2D(
        (side / 2, side / 2), rng.uniform(-1.5, 1.5), rng.uniform(0.97, 1.03)
    )
    matrix[:, 2] += rng.uniform(-0.015, 0.015, 2) * side
    moved = cv2.warpAffine(image, matrix, (image.shape[1], side), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, dtype=np.uint8)


@dataclass(frozen=True)
class Square:
    """A real square to make a pseudo-fake of.

    Attributes:
        image: BGR pixels, shape (side, side, 3).
        points: Five points of the face, pixels.
        face_px: Longer side of the face box, in pixels.
        redrawn: The same square as a small generator draws it, if there is one.
    """

    image: Image
    points: NDArray[np.float32]
    face_px: float
    redrawn: Image | None = None


def blend(square: Square, donors: Sequence[Square], rng: Random) -> Image:
    """Make a pseudo-fake of one real square.

    One in four is the redrawn square as it is (a talking head, a reenactment); one in eight takes
    the face of the donor whose points lie most alike (a swap); the rest blend a changed copy of
    the face into itself.

    Args:
        square: The real square.
        donors: Other people's squares.
        rng: Source of randomness.
    """
    draw = rng.random()
    if square.redrawn is not None and draw < REDRAWN_SHARE:
        return square.redrawn
    if donors and draw > 1 - SWAPPED_SHARE:
        source, target = _donated(square, donors), square.image
        mask = _deform(_face_mask(square.image, square.points, rng), rng)
        return _mix(_matched(source, target, mask), target, mask)
    source, target = _changed(square, rng)
    if rng.random() < 0.7:
        source = _move(source, rng)
    mask = _deform(_mask(square.image, square.points, rng), rng)
    mask *= float(rng.choice((0.5, 0.75, 1.0, 1.0, 1.0)))
    return _mix(source, target, mask)


def _changed(square: Square, rng: Random) -> tuple[Image, Image]:
    """Return two copies of a square that differ in colour and in fine detail."""
    source, target = square.image, square.image
    trace = rng.random()
    if square.redrawn is not None and trace < 0.45:
        source = square.redrawn
    elif trace < 0.7:
        source = _regenerate(source, square.face_px, rng)
    elif trace < 0.78:
        source = sharpen(source, rng)
    elif trace < 0.85:
        source = jpeg(source, int(rng.integers(40, 85)))
    elif trace < 0.92:
        target = sharpen(target, rng) if rng.random() < 0.5 else blur(target, rng)
    if rng.random() < 0.5:
        return colours(source, rng, 0.6), target
    return source, colours(target, rng, 0.6)


def _donated(square: Square, donors: Sequence[Square]) -> Image:
    """Bring the donor with the most alike points to where the face is."""
    fits = [cv2.estimateAffinePartial2D(d.points, square.points)[0] for d in donors]
    gaps = [
        float(np.abs(donor.points @ fit[:, :2].T + fit[:, 2] - square.points).mean())
        if fit is not None
        else np.inf
        for donor, fit in zip(donors, fits, strict=True)
    ]
    best = int(np.argmin(gaps))
    donor = donors[best]
    face = donor.image if donor.redrawn is None else donor.redrawn
    if fits[best] is None:
        return square.image
    side = square.image.shape[0]
    moved = cv2.warpAffine(face, fits[best], (side, side), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, dtype=np.uint8)


def _matched(source: Image, target: Image, mask: Mask) -> Image:
    """Give a face the mean colour and the contrast of the one it replaces."""
    inside = mask > 0.5
    if not inside.any():
        return source
    mean, spread = source[inside].mean(axis=0), source[inside].std(axis=0) + 1
    wanted, width = target[inside].mean(axis=0), target[inside].std(axis=0) + 1
    out = (source - mean) * (width / spread) + wanted
    return np.clip(out, 0, 255).astype(np.uint8)


def _mix(source: Image, target: Image, mask: Mask) -> Image:
    mixed = source * mask[..., None] + target * (1 - mask[..., None])
    return np.clip(mixed, 0, 255).astype(np.uint8)
