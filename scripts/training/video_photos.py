"""Photographs of faces beside the clips: many more people than the clips show, all untouched."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from training.video_crops import Crop

#: Every n-th photograph is taken.
EVERY = 2


def load_photos(folder: Path) -> dict[str, list[Crop]]:
    """Return one crop a photograph; none where the folder has no photographs.

    Args:
        folder: Holds `utk_landmarks.json` (rows of file, box corners, five points as x and y in
            pixels) and the photographs under `real/`.
    """
    index = folder / "utk_landmarks.json"
    if not index.exists():
        return {}
    crops = {}
    for row in json.loads(index.read_text())[::EVERY]:
        name, left, top, right, bottom, *points = row
        image = cv2.imread(str(folder / "real" / name))
        size = max(right - left, bottom - top)
        five = np.array(points, dtype=np.float32).reshape(5, 2)
        crops[name] = [Crop(np.asarray(image, dtype=np.uint8), five, size, name, 0.0)]
    return crops
