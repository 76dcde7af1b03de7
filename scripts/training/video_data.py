"""Batches for training: real crops, pseudo-fakes of them, and crops of published fakes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.video_crops import Clip, Crop
from training.video_degrade import Image, Random, degrade, rescale
from training.video_fakes import Square, blend
from workers.video.scoring import Views, views

#: Side of the network's input, in pixels, and of the square that it learns from, in face boxes.
SIDE_PX = 160
MARGIN = 1.3
#: Sides of the two squares that a face is scored in: close up lips tell more, and generated heads
#: with what is round the face.
NARROW, WIDE = 1.1, 1.75
#: Pseudo-fakes and degradations work on a square of this many face boxes.
WORKING_MARGIN = 1.65


@dataclass(frozen=True)
class Recipe:
    """How a batch is made up; the rest are real crops.

    Attributes:
        batch: Squares.
        blended: Pseudo-fakes.
        published: Crops of published fakes.
        photos: Share of the real crops that are photographs.
        side_px: Side of the squares, in pixels.
    """

    batch: int = 32
    blended: int = 9
    published: int = 9
    photos: float = 0.25
    side_px: int = SIDE_PX


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


def shrink(crop: Crop, rng: Random) -> Square:
    """Bring a square to a random size of face, at most its own."""
    face_px = min(crop.size, float(np.exp(rng.uniform(np.log(65), np.log(220)))))
    factor = face_px / crop.size
    side = crop.image.shape[0]
    edge = max(0, round((side - WORKING_MARGIN * crop.size) / 2))
    way = rng.integers(2**32)
    twin = [crop.redrawn[int(rng.integers(len(crop.redrawn)))]] if crop.redrawn else []
    kept = []
    for image in (crop.image, *twin):
        inner = image[edge : side - edge, edge : side - edge]
        if factor < 0.97:
            inner = rescale(inner, factor, np.random.default_rng(way), back=False)
        kept.append(inner)
    actual = kept[0].shape[0] / (side - 2 * edge)
    square = Square(kept[0], (crop.points - edge) * actual, crop.size * actual)
    return replace(square, redrawn=kept[1]) if twin else square


def views_of(crop: Crop, side_px: int = SIDE_PX) -> Views:
    """Cut the two squares in which a face is scored, as the workers do."""
    narrow, wide = (frame_face(crop.image, crop.size, None, side_px, m) for m in (NARROW, WIDE))
    return views(narrow, wide)


def frame_face(
    image: Image,
    face_px: float,
    rng: Random | None,
    side_px: int = SIDE_PX,
    margin: float = MARGIN,
) -> Image:
    """Cut a square that the network sees, jittered if there is an `rng`, at the input size."""
    middle = image.shape[0] / 2
    side = margin * face_px
    shift = np.zeros(2)
    if rng is not None:
        side *= rng.uniform(0.88, 1.2)
        shift = rng.uniform(-0.06, 0.06, 2) * face_px
    side = min(side, image.shape[0])
    left, top = (int(max(0, round(middle + s - side / 2))) for s in shift)
    square = image[top : top + round(side), left : left + round(side)]
    way = cv2.INTER_AREA if square.shape[0] > side_px else cv2.INTER_LINEAR
    out = np.asarray(cv2.resize(square, (side_px, side_px), interpolation=way), dtype=np.uint8)
    if rng is not None and rng.random() < 0.5:
        out = out[:, ::-1]
    return np.ascontiguousarray(out)


def batch(
    recipe: Recipe, real: Sequence[Source], fakes: Source | None, rng: Random
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw one batch of BGR squares, shape (n, side, side, 3), and labels (n,), 1 is fake.

    Every pseudo-fake stands beside the real crop that it was made of.

    Args:
        recipe: How many of what.
        real: Crops of clips, then, if there are any, of photographs.
        fakes: Crops of published fakes.
        rng: Source of randomness.
    """
    images: list[Image] = []
    labels: list[float] = []
    count = recipe.batch - recipe.blended - recipe.published
    drawn = [shrink(_pick(real, recipe, rng).draw(rng), rng) for _ in range(count)]
    for n, square in enumerate(drawn):
        images.append(frame_face(degrade(square.image, rng), square.face_px, rng, recipe.side_px))
        labels.append(0)
        if n < recipe.blended:
            fake = blend(square, drawn[:n] + drawn[n + 1 :], rng)
            images.append(frame_face(degrade(fake, rng), square.face_px, rng, recipe.side_px))
            labels.append(1)
    while fakes is not None and len(images) < recipe.batch:
        square = shrink(fakes.draw(rng), rng)
        images.append(frame_face(degrade(square.image, rng), square.face_px, rng, recipe.side_px))
        labels.append(1)
    return np.stack(images), np.array(labels, dtype=np.float32)


def _pick(real: Sequence[Source], recipe: Recipe, rng: Random) -> Source:
    return real[-1] if rng.random() < recipe.photos else real[0]
