"""What happens to any picture between camera and upload: applied to real and fake crops alike."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Random = np.random.Generator

_WAYS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4)


def jpeg(image: Image, quality: int) -> Image:
    """Compress and decompress; the block transform of H.264 at a fraction of its cost."""
    _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)


def rescale(image: Image, factor: float, rng: Random, back: bool = True) -> Image:
    """Scale by a factor and, if asked, back to the old size; each way of interpolation may come."""
    height, width = image.shape[:2]
    small = (max(8, round(width * factor)), max(8, round(height * factor)))
    down = cv2.INTER_AREA if rng.random() < 0.5 else int(rng.choice(_WAYS[1:]))
    out = cv2.resize(image, small, interpolation=down)
    if back:
        out = cv2.resize(out, (width, height), interpolation=int(rng.choice(_WAYS[1:])))
    return np.asarray(out, dtype=np.uint8)


def colours(image: Image, rng: Random, strength: float = 1.0) -> Image:
    """Shift channels, brightness, contrast and saturation."""
    gain = 1 + strength * rng.uniform(-0.2, 0.2)
    shift = strength * (rng.uniform(-20, 20) + rng.uniform(-10, 10, 3))
    saturation = 1 + strength * rng.uniform(-0.3, 0.3)
    mixing = gain * (saturation * np.eye(3) + (1 - saturation) / 3)
    affine = np.column_stack([mixing, 127 - 127 * gain + shift]).astype(np.float32)
    return np.asarray(cv2.transform(image, affine), dtype=np.uint8)


def sharpen(image: Image, rng: Random) -> Image:
    """Add an unsharp mask, as phones and beautifiers do."""
    soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 2.0))
    amount = rng.uniform(0.2, 1.0)
    return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), dtype=np.uint8)


def blur(image: Image, rng: Random) -> Image:
    """Soften with a Gaussian of 0.3 to 1.3 pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3)), dtype=np.uint8)


def noise(image: Image, rng: Random) -> Image:
    """Add sensor-like noise."""
    level = np.float32(rng.uniform(1, 7))
    shape = (*image.shape[:2], int(rng.choice((1, 3))))
    grain = level * rng.standard_normal(shape, dtype=np.float32)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def degrade(image: Image, rng: Random) -> Image:
    """Apply a random chain; about one picture in six goes through untouched."""
    if rng.random() < 0.15:
        return image
    if rng.random() < 0.5:
        image = colours(image, rng)
    if rng.random() < 0.25:
        image = sharpen(image, rng)
    if rng.random() < 0.3:
        image = blur(image, rng)
    if rng.random() < 0.35:
        image = rescale(image, rng.uniform(0.4, 0.9), rng)
    if rng.random() < 0.25:
        image = noise(image, rng)
    if rng.random() < 0.6:
        image = jpeg(image, int(rng.integers(35, 96)))
    if rng.random() < 0.05:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
    return image
