"""Lay pictures of one face onto each other as if it were flat, as a photograph is."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: Times that pictures are laid anew; after the third, the face of a photograph moves no more.
ROUNDS = 3
#: Share of a picture's side along its edges that is not compared: not all of it is face there.
_EDGE = 0.15

Floats = NDArray[np.float32]
Steps = NDArray[np.float64]


def lay(pictures: Floats) -> Floats:
    """Undo the movement of a plane, and changes of light, with regard to the mean picture.

    However a photograph is moved, turned or tilted before a camera, its pictures differ by a
    homography. Mouths that speak change in other ways, and most of that is left.

    Args:
        pictures: Of one face, roughly aligned, shape (n, side, side).

    Returns:
        The same pictures, laid onto their mean, same shape.
    """
    side = pictures.shape[1]
    inner = np.s_[round(_EDGE * side) : side - round(_EDGE * side)]
    half = side / 2
    to_pixels = np.array([[half, 0, half], [0, half, half], [0, 0, 1]])
    planes = np.tile(np.eye(3), (len(pictures), 1, 1))
    laid = pictures
    for _ in range(ROUNDS):
        mean = laid.mean(axis=0)
        solve = np.linalg.pinv(_changes(mean)[inner, inner].reshape(-1, 10))
        steps = (laid - mean)[:, inner, inner].reshape(len(laid), -1) @ solve.T
        planes = planes @ _planes(-steps[:, :8])
        laid = np.stack(
            [
                cv2.warpPerspective(
                    picture,
                    to_pixels @ plane @ np.linalg.inv(to_pixels),
                    (side, side),
                    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REPLICATE,
                )
                for picture, plane in zip(pictures, planes, strict=True)
            ]
        ).astype(np.float32)
    mean = laid.mean(axis=0)
    light = np.stack([mean, np.ones_like(mean)], axis=-1)
    solve = np.linalg.pinv(light[inner, inner].reshape(-1, 2))
    steps = (laid - mean)[:, inner, inner].reshape(len(laid), -1) @ solve.T
    return np.asarray(laid - np.einsum("nk,yxk->nyx", steps, light), dtype=np.float32)


def _changes(mean: Floats) -> Floats:
    """Return how a picture changes with a plane's eight parameters, its contrast and brightness.

    Args:
        mean: Shape (side, side).

    Returns:
        Shape (side, side, 10), for coordinates from -1 to 1.
    """
    line = np.linspace(-1, 1, mean.shape[0], endpoint=False, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    down, right = np.gradient(mean, 2 / mean.shape[0])
    outward = right * x + down * y
    parts = [right, right * x, right * y, down, down * x, down * y, outward * x, outward * y]
    return np.stack([*parts, mean, np.ones_like(mean)], axis=-1)


def _planes(steps: Steps) -> Steps:
    """Return the homographies next to doing nothing, shape (n, 3, 3), of shape (n, 8)."""
    x, xx, xy, y, yx, yy, px, py = steps.T
    one = np.ones_like(x)
    rows = [[one + xx, xy, x], [yx, one + yy, y], [-px, -py, one]]
    return np.moveaxis(np.array(rows), 2, 0)
