"""Find faces in a picture, judge whether they can be scored, and cut them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: Longer side of the picture that the detector sees, in pixels.
DETECT_SIDE_PX = 480
#: Detections below this are no faces.
MIN_SCORE = 0.5
#: Two boxes with more overlap than this are one face.
MAX_OVERLAP = 0.3
#: The network strides by 32 and answers at a quarter of its input size.
_STRIDE, _CELL = 32, 4
#: Side of the square that a sharpness is measured on, in pixels.
_SHARPNESS_SIDE_PX = 96

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Face:
    """One face in one picture.

    Attributes:
        box: Left, top, right, bottom in pixels.
        score: Confidence of the detector, 0 to 1.
        points: Right eye, left eye, nose, right and left corner of the mouth, shape (5, 2), pixels;
            right and left as the person has them.
    """

    box: tuple[float, float, float, float]
    score: float
    points: Floats

    @property
    def size_px(self) -> float:
        """Geometric mean of width and height."""
        left, top, right, bottom = self.box
        return float(np.sqrt(max(0.0, right - left) * max(0.0, bottom - top)))

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def turn(self) -> float:
        """How far the head is turned: offset of the nose from the middle of the eyes, in eye gaps.

        0 is frontal; from about 0.6 on, one eye hides behind the nose.
        """
        eyes = self.points[1] - self.points[0]
        gap = max(float(np.linalg.norm(eyes)), 0.08 * max(self.size_px, 1.0))
        nose = self.points[2] - (self.points[0] + self.points[1]) / 2
        along = eyes / max(float(np.linalg.norm(eyes)), 1e-6)
        return float(abs(nose @ along) / gap)


def overlap(one: Face, other: Face) -> float:
    """Return intersection over union of two boxes, 0 to 1."""
    left, top = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    right, bottom = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    return shared / max(one.size_px**2 + other.size_px**2 - shared, 1e-9)


class FaceFinder:
    """The CenterFace detector over an ONNX session."""

    def __init__(self, session: Any, side_px: int = DETECT_SIDE_PX) -> None:
        """Take an `onnxruntime.InferenceSession` of CenterFace with a free input size."""
        self._session = session
        self._side_px = side_px
        self._input = session.get_inputs()[0].name

    def find(self, image: Image, side_px: int | None = None) -> list[Face]:
        """Return the faces of one BGR picture, largest first.

        Args:
            image: Shape (height, width, 3).
            side_px: Longer side that the network sees, in pixels; None for the usual one.
        """
        height, width = image.shape[:2]
        scale = (side_px or self._side_px) / max(height, width)
        rows, columns = (_STRIDE * max(1, round(n * scale / _STRIDE)) for n in (height, width))
        small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
        rgb = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.float32)
        outputs = self._session.run(None, {self._input: rgb.transpose(2, 0, 1)[None]})
        zoom = np.array([width / columns, height / rows], dtype=np.float32)
        faces = _decode([output[0] for output in outputs], zoom, (width, height))
        return sorted(faces, key=lambda face: -face.size_px)


def _decode(outputs: list[Floats], zoom: Floats, size: tuple[int, int]) -> list[Face]:
    """Turn heat map (1, h, w), log sizes (2), offsets (2) and points (10) into faces.

    Args:
        outputs: The four arrays in that order.
        zoom: Pixels of the picture per pixel of the network's input, x and y.
        size: Width and height of the picture, in pixels.
    """
    heat, log_sizes, offsets, points = outputs
    found = []
    for row, column in np.argwhere(heat[0] > MIN_SCORE):
        high, wide = np.exp(log_sizes[:, row, column]) * _CELL
        top, left = (
            (cell + shift + 0.5) * _CELL - extent / 2
            for cell, shift, extent in (
                (row, offsets[0, row, column], high),
                (column, offsets[1, row, column], wide),
            )
        )
        five = points[:, row, column].reshape(5, 2)[:, ::-1] * (wide, high) + (left, top)
        box = np.array([left, top, left + wide, top + high]) * np.tile(zoom, 2)
        box = np.clip(box, 0, np.tile(size, 2))
        found.append(
            Face(
                box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                score=float(heat[0, row, column]),
                points=(five * zoom).astype(np.float32),
            )
        )
    return _thin(found)


def _thin(faces: list[Face]) -> list[Face]:
    """Keep the most certain of every bunch of overlapping boxes."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face, other) < MAX_OVERLAP for other in kept):
            kept.append(face)
    return kept


def cut(image: Image, face: Face, margin: float, side_px: int | None = None) -> Image:
    """Cut the square around a face; what lies outside the picture is mirrored.

    Args:
        image: BGR pixels of shape (height, width, 3).
        face: Where to cut.
        margin: Side of the square in units of the longer side of the box.
        side_px: Side of the returned square, in pixels; None leaves the size as it is.

    Returns:
        Pixels of shape (side, side, 3).
    """
    left, top, right, bottom = face.box
    side = max(8, round(max(right - left, bottom - top) * margin))
    x, y = (round(middle - side / 2) for middle in face.centre)
    height, width = image.shape[:2]
    inside = image[max(0, y) : max(0, y + side), max(0, x) : max(0, x + side)]
    pads = (max(0, -y), max(0, y + side - height), max(0, -x), max(0, x + side - width))
    square = np.asarray(inside, dtype=np.uint8)
    if any(pads):
        padded = cv2.copyMakeBorder(inside, *pads, borderType=cv2.BORDER_REFLECT)
        square = np.asarray(padded, dtype=np.uint8)
    if side_px is None:
        return np.ascontiguousarray(square)
    return resize(square, side_px)


def resize(square: Image, side_px: int) -> Image:
    """Scale a square; areas are averaged on the way down, interpolated on the way up."""
    way = cv2.INTER_AREA if square.shape[0] > side_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (side_px, side_px), interpolation=way), dtype=np.uint8)


def sharpness(image: Image, face: Face) -> float:
    """Return how sharp a face is: deviation of the Laplacian over that of the grey values.

    Contrast and brightness cancel out; below 0.1 nothing finer than the features is left.
    """
    grey = cv2.cvtColor(cut(image, face, 1.0, _SHARPNESS_SIDE_PX), cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std() / max(float(grey.std()), 1.0))
