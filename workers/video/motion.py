"""How the picture moves from frame to frame, tile by tile, and which frames follow each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.video import flashes

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Tiles = NDArray[np.floating]
Pictures = NDArray[np.uint8]
Greys = NDArray[np.uint8] | NDArray[np.float32]

#: Longer side of the grey pictures that are compared, in pixels.
SIDE_PX = 64
#: Side of the tiles whose change is measured, in those pixels.
TILE_PX = 8
#: Tiles that move most; their mean is the step from one frame to the next.
TOP_TILES = 6
#: Change of a tile that compression alone makes, in grey levels.
NOISE = 0.7
#: How far a tile is looked for in the picture before, in pixels, and what a pixel of way costs.
REACH_PX, WAY_COST = 4, 0.3
#: Grey levels that a bar of one colour varies by at most, for what compression does to it.
_FLAT = 10
#: Pictures compared at a time.
_CHUNK = 512


@dataclass(frozen=True)
class Motion:
    """The pictures of a stretch of video, small and grey, and how much changes between them.

    Attributes:
        times_s: Presentation times in seconds, shape (n,).
        pictures: uint8, shape (n, height, width), multiples of `TILE_PX`.
        tile_steps: Root mean square change of every tile since the picture before, in grey
            levels, shape (n, tiles); zero for the first.
        steps: Mean of the `TOP_TILES` largest, shape (n,).
        flashed: How many of the pictures were lit by a flash, and are not as they were decoded.
    """

    times_s: Floats
    pictures: NDArray[np.uint8]
    tile_steps: NDArray[np.float32]
    steps: Floats
    flashed: int = 0

    def __len__(self) -> int:
        """Return the number of pictures."""
        return int(self.times_s.size)

    def distance(self, first: Indices | int, second: Indices | int) -> Floats:
        """Return the step that would lead from one picture to another; shapes broadcast."""
        left, right = np.broadcast_arrays(np.atleast_1d(first), np.atleast_1d(second))
        tiles = tile_change(self.pictures[left], self.pictures[right])
        return top_tiles(tiles)


def measure(frames: Iterable[tuple[float, NDArray[np.uint8]]]) -> Motion:
    """Measure the motion of a stream of times and small grey pictures.

    Raises:
        ValueError: There is no picture.
    """
    times, pictures = [], []
    for time_s, picture in frames:
        times.append(time_s)
        pictures.append(picture)
    stack, flashed = flashes.without(_whole_tiles(_without_bars(np.stack(pictures))))
    parts = [
        tile_change(stack[start : start + _CHUNK], stack[start + 1 : start + 1 + _CHUNK])
        for start in range(0, len(stack) - 1, _CHUNK)
    ]
    tiles = (stack.shape[1] // TILE_PX) * (stack.shape[2] // TILE_PX)
    tile_steps = np.concatenate([np.zeros((1, tiles), np.float32), *parts])
    return Motion(np.asarray(times), stack, tile_steps, top_tiles(tile_steps), flashed)


def _without_bars(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut off the bars of one colour around a picture: through them, any two shots look alike."""
    for axis in (1, 2):
        others = tuple({0, 1, 2} - {axis})
        flat = stack.max(axis=others).astype(int) - stack.min(axis=others) <= _FLAT
        (used,) = np.nonzero(~flat)
        if used.size >= TILE_PX:
            stack = stack.take(range(used[0], used[-1] + 1), axis=axis)
    return stack


def _whole_tiles(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut pictures to whole tiles; widen them where they are smaller than one."""
    height, width = stack.shape[1:]
    if height < TILE_PX or width < TILE_PX:
        grown = ((0, 0), (0, max(0, TILE_PX - height)), (0, max(0, TILE_PX - width)))
        stack = np.pad(stack, grown, mode="edge")
        height, width = stack.shape[1:]
    return stack[:, : height // TILE_PX * TILE_PX, : width // TILE_PX * TILE_PX]


def tile_change(first: Greys, second: Greys) -> NDArray[np.float32]:
    """Return the root mean square change of each tile, shape (pairs, tiles)."""
    count = min(len(first), len(second))
    change = first[:count].astype(np.float32) - second[:count]
    height, width = change.shape[1:]
    tiled = np.square(change).reshape(count, height // TILE_PX, TILE_PX, width // TILE_PX, TILE_PX)
    mean = tiled.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    return np.asarray(np.sqrt(mean), dtype=np.float32)


def top_tiles(tiles: Tiles) -> Floats:
    """Return the mean of the tiles that change most, over the last axis."""
    count = min(TOP_TILES, tiles.shape[-1])
    top = np.partition(tiles, tiles.shape[-1] - count, axis=-1)[..., -count:]
    return np.asarray(top.mean(axis=-1), dtype=np.float64)


def block_match(first: Pictures, second: Pictures) -> tuple[Floats, Floats]:
    """Look for every tile of a picture in the one before it.

    Returns:
        Root mean square difference that is left in grey levels, and way in pixels; shape (tiles,).
    """
    height, width = second.shape
    padded = np.pad(first, REACH_PX, mode="edge").astype(np.float32)
    shifted = np.lib.stride_tricks.sliding_window_view(padded, (height, width))
    change = np.square(shifted - second.astype(np.float32))
    shape = (-1, height // TILE_PX, TILE_PX, width // TILE_PX, TILE_PX)
    errors = change.reshape(shape).mean(axis=(2, 4)).reshape(change.shape[0] ** 2, -1)
    offsets = np.arange(-REACH_PX, REACH_PX + 1)
    ways = np.hypot(*np.meshgrid(offsets, offsets, indexing="ij")).ravel()
    best = (errors + WAY_COST * ways[:, None]).argmin(axis=0)
    left = np.sqrt(errors[best, np.arange(errors.shape[1])])
    return left.astype(np.float64), ways[best]


def cosine(first: Tiles, second: Tiles) -> float:
    """Return how alike two pictures or changes are, from -1 to 1; about 0 where one is nothing."""
    left, right = first.ravel().astype(np.float64), second.ravel().astype(np.float64)
    return float(left @ right / np.sqrt((left @ left) * (right @ right) + 1e-6))
