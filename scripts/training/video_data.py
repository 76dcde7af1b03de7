"""Batches for training: real crops, pseudo-fakes of them, and crops of published fakes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.video_crops import Clip, Crop
from training.video_degrade import Image, Random, degrade, rescale
from training.video_fakes import blend

#: Side of the network's input, in pixels, and of the square around the face, in face boxes.
SIDE_PX = 128
MARGIN = 1.3
#: Pseudo-fakes and degradations work on a square of this many face boxes.
WORKING_MARGIN = 1.65


@dataclass(frozen=True)
class Recipe:
    """How a batch is made up; the rest are real crops."""

    batch: int = 32
    blended: int = 9
    published: int = 9


class Source:
    """Draws crops by group (or generator): one with four times the clips comes twice as often."""

    def __init__(self, crops: dict[str, list[Crop]], clips: list[Clip], by: str) -> None:
        """Group the crops of some clips by an attribute of the clip."""
        tree: dict[str, dict[str, list[Crop]]] = defaultdict(dict)
        for clip in clips:
            if crops[clip.file]:
                tree[getattr(clip, by)][clip.file] = crops[clip.file]
        self._tree = [list(files.values()) for _, files in sorted(tree.items())]
        weights = np.sqrt([len(files) for files in self._tree])
        self._share = weights / weights.sum()

    def draw(self, rng: Random) -> Crop:
        """Return one crop."""
        files = self._tree[int(rng.choice(len(self._tree), p=self._share))]
        crops = files[int(rng.integers(len(files)))]
        return crops[int(rng.integers(len(crops)))]


def shrink(crop: Crop, rng: Random) -> tuple[Image, NDArray[np.float32], float]:
    """Bring a square to a random size of face, at most its own; return image, points, face size."""
    face_px = min(crop.size, float(np.exp(rng.uniform(np.log(65), np.log(200)))))
    factor = face_px / crop.size
    image, points = _trim(crop)
    side = image.shape[0]
    if factor < 0.97:
        image = rescale(image, factor, rng, back=False)
    actual = image.shape[0] / side
    return image, points * actual, crop.size * actual


def _trim(crop: Crop) -> tuple[Image, NDArray[np.float32]]:
    """Cut away what no jittered square reaches."""
    side = crop.image.shape[0]
    edge = max(0, round((side - WORKING_MARGIN * crop.size) / 2))
    return crop.image[edge : side - edge, edge : side - edge], crop.points - edge


def frame_face(image: Image, face_px: float, rng: Random | None) -> Image:
    """Cut the square that the network sees, jittered if there is an `rng`, at the input size."""
    middle = image.shape[0] / 2
    side = MARGIN * face_px
    shift = np.zeros(2)
    if rng is not None:
        side *= rng.uniform(0.88, 1.2)
        shift = rng.uniform(-0.06, 0.06, 2) * face_px
    side = min(side, image.shape[0])
    left, top = (int(max(0, round(middle + s - side / 2))) for s in shift)
    square = image[top : top + round(side), left : left + round(side)]
    way = cv2.INTER_AREA if square.shape[0] > SIDE_PX else cv2.INTER_LINEAR
    out = np.asarray(cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=way), dtype=np.uint8)
    if rng is not None and rng.random() < 0.5:
        out = out[:, ::-1]
    return np.ascontiguousarray(out)


def batch(
    recipe: Recipe, video: Source, fakes: Source | None, rng: Random
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw one batch of BGR squares, shape (n, side, side, 3), and labels (n,), 1 is fake.

    Every pseudo-fake stands beside the real crop that it was made of.
    """
    images: list[Image] = []
    labels: list[float] = []
    for n in range(recipe.batch - recipe.blended - recipe.published):
        image, points, face_px = shrink(video.draw(rng), rng)
        images.append(frame_face(degrade(image, rng), face_px, rng))
        labels.append(0)
        if n < recipe.blended:
            fake = blend(image, points, face_px, rng)
            images.append(frame_face(degrade(fake, rng), face_px, rng))
            labels.append(1)
    while fakes is not None and len(images) < recipe.batch:
        image, _, face_px = shrink(fakes.draw(rng), rng)
        images.append(frame_face(degrade(image, rng), face_px, rng))
        labels.append(1)
    return np.stack(images), np.array(labels, dtype=np.float32)
