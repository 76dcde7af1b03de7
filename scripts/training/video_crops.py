"""Face crops for training: cut from clips by the detector that the workers use, and cached."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared import media, probing
from workers.video import faces

#: Squares are kept this wide around the face, so that crops can be jittered later.
CACHE_MARGIN = 1.9
#: Larger squares are scaled down to this, in pixels.
CACHE_SIDE_PX = 400
FRAMES_PER_CLIP = 20


@dataclass(frozen=True)
class Crop:
    """One face square.

    Attributes:
        image: BGR pixels, shape (side, side, 3).
        points: Five points in pixels of the square.
        size: Longer side of the face box, in pixels of the square.
        clip: File of the clip in the manifest.
        time_s: Time in the clip.
        redrawn: The same square as small generators draw it; empty outside training.
    """

    image: NDArray[np.uint8]
    points: NDArray[np.float32]
    size: float
    clip: str
    time_s: float
    redrawn: tuple[NDArray[np.uint8], ...] = ()


@dataclass(frozen=True)
class Clip:
    """One row of a manifest."""

    file: str
    fake: bool
    kind: str
    generator: str
    group: str
    row: dict[str, str]


def read_manifest(path: Path) -> list[Clip]:
    """Read the rows of a manifest of clips.

    Raises:
        SystemExit: A label is neither real nor fake.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    unknown = {row["label"] for row in rows} - {"real", "fake"}
    if unknown:
        raise SystemExit(f"{path} has labels that are neither real nor fake: {sorted(unknown)}.")
    return [
        Clip(
            file=row["file"],
            fake=row["label"] == "fake",
            kind=row["manipulation"],
            generator=row["generator"].split("(")[0].split("/")[0],
            group=row["group"],
            row=row,
        )
        for row in rows
    ]


def crops_of_clip(path: Path, finder: faces.FaceFinder, name: str) -> list[Crop]:
    """Cut the largest face out of evenly spaced frames of one clip."""
    info = probing.probe(path)
    track = info.of_kind("video")[0]
    every = max(1, (track.frames or 200) // FRAMES_PER_CLIP)
    crops = []
    for frame in media.FrameReader(path, info, track, media.Sampling(every=every)):
        found = faces_in(finder, frame.image)
        if not found:
            continue
        crops.append(_square(frame.image, found[0], name, frame.pts_s))
    return crops


def faces_in(finder: faces.FaceFinder, image: NDArray[np.uint8]) -> list[faces.Face]:
    """Return faces that are large and frontal enough to learn from."""
    return [face for face in finder.find(image) if face.size_px >= 48 and face.turn < 0.7]


def _square(image: NDArray[np.uint8], face: faces.Face, name: str, time_s: float) -> Crop:
    left, top, right, bottom = face.box
    longer = max(right - left, bottom - top)
    square = faces.cut(image, face, CACHE_MARGIN)
    side = square.shape[0]
    scale = min(1.0, CACHE_SIDE_PX / side)
    if scale < 1:
        square = faces.resize(square, CACHE_SIDE_PX)
    corner = np.array([m - side / 2 for m in face.centre], dtype=np.float32)
    points = ((face.points - corner) * scale).astype(np.float32)
    return Crop(square, points, longer * scale, name, time_s)


def load_clips(
    folder: Path, clips: list[Clip], finder: faces.FaceFinder, cache: Path
) -> dict[str, list[Crop]]:
    """Return the crops of every clip, from the cache where it has them."""
    cache.mkdir(parents=True, exist_ok=True)
    crops = {}
    for clip in clips:
        key = hashlib.sha256((folder / clip.file).read_bytes()).hexdigest()[:16]
        stored = cache / f"{key}.npz"
        if not stored.exists():
            save_crops(stored, crops_of_clip(folder / clip.file, finder, clip.file))
        crops[clip.file] = read_crops(stored)
    return crops


def save_crops(path: Path, crops: list[Crop]) -> None:
    """Write crops as PNG bytes and a JSON index into one file."""
    index = [[crop.points.tolist(), crop.size, crop.clip, crop.time_s] for crop in crops]
    pictures = {
        f"i{n}": cv2.imencode(".png", crop.image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
        for n, crop in enumerate(crops)
    }
    np.savez(path, index=np.array(json.dumps(index)), **pictures)  # type: ignore[arg-type]  # numpy's stub wants bool


def read_crops(path: Path) -> list[Crop]:
    """Read what `save_crops` wrote."""
    with np.load(path) as stored:
        index = json.loads(str(stored["index"]))
        return [
            Crop(
                np.asarray(cv2.imdecode(stored[f"i{n}"], cv2.IMREAD_COLOR), dtype=np.uint8),
                np.array(points, dtype=np.float32),
                size,
                clip,
                time_s,
            )
            for n, (points, size, clip, time_s) in enumerate(index)
        ]
