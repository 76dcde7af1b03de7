"""Score face crops with the trained network, and measure how steady the scores are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.video.faces import Face, Image, cut, resize

#: JPEG quality and scale of the degraded copies behind the stability band.
STABILITY_QUALITY, STABILITY_SCALE = 60, 0.7


#: Squares of one face, BGR, shape (2, side, side, 3): see `views`.
Views = NDArray[np.uint8]


def views(narrow: Image, wide: Image) -> Views:
    """Put a face's squares together: the narrow one, and the wide one as a mirror shows it."""
    return np.stack([narrow, wide[:, ::-1]])


class FaceScorer:
    """The trained network over an ONNX session; the two views of a face are averaged."""

    def __init__(self, session: Any, narrow: float, wide: float) -> None:
        """Take the network, and how wide its squares are.

        Args:
            session: An `onnxruntime.InferenceSession` with the input (n, 3, side, side).
            narrow: Side of the narrow square around a face, in longer sides of its box.
            wide: And of the wide one.
        """
        self._session = session
        self._margins = (narrow, wide)
        self._input = session.get_inputs()[0].name
        self.side_px = int(session.get_inputs()[0].shape[2])

    def cut(self, image: Image, face: Face) -> Views:
        """Cut the squares around a face of a BGR picture that the network sees."""
        narrow, wide = (cut(image, face, margin, self.side_px) for margin in self._margins)
        return views(narrow, wide)

    def score_crops(
        self, crops: Sequence[Views]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return scores and distances, both of shape (n,), of n faces' views.

        A score is higher for a face that is more likely manipulated, a distance for one that is
        less like those of the training data.
        """
        stack = np.concatenate(crops)[..., ::-1]
        scaled = (stack.transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128
        score, distance = self._session.run(None, {self._input: np.ascontiguousarray(scaled)})
        return score.reshape(-1, 2).mean(axis=1), distance.reshape(-1, 2).mean(axis=1)


def instability(scorer: FaceScorer, crops: Sequence[Views], scores: Sequence[float]) -> float:
    """Return how far the mean score moves when crops are slightly degraded, in score units.

    Crops are compressed and shrunk in turn; a single one is changed in both ways.
    """
    if not crops:
        return 0.0
    ways = (_compressed, _shrunk)
    turns = range(max(len(crops), len(ways)))
    copies = [
        np.stack([ways[turn % len(ways)](square) for square in crops[turn % len(crops)]])
        for turn in turns
    ]
    before = np.array([scores[turn % len(crops)] for turn in turns])
    changed = scorer.score_crops(copies)[0] - before
    moves = [changed[way :: len(ways)].mean() for way in range(len(ways))]
    return float(np.sqrt(np.mean(np.square(moves))))


def _compressed(crop: Image) -> Image:
    _, code = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, STABILITY_QUALITY])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)


def _shrunk(crop: Image) -> Image:
    side = crop.shape[0]
    return resize(resize(crop, round(side * STABILITY_SCALE)), side)
