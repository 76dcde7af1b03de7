"""How likely a step from one frame to the next is a joint: what lay between them is missing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.video.motion import (
    Floats,
    Indices,
    Motion,
    Pictures,
    block_match,
    cosine,
    tile_change,
    top_tiles,
)
from workers.video.shots import same_shot

#: Frames before and after a step that it is compared with, and those that say what is usual.
NEAR, AROUND = 3, 12
#: Side of the fields whose mean grey is compared, in pixels, and fields on a side of a cell.
FIELD_PX, CELL_FIELDS = 4, 2
#: Change of a cell that compression alone makes, and from which on something moves in it.
CELL_NOISE, CELL_MOVING = 0.4, 1.0
#: Smallest step, and least that the cells stand out from the usual and from those nearby, for a
#: step to be looked at (natural logs of ratios). Nearly all joints do, one step in thirty does.
SMALLEST, LEAST_UNUSUAL, LEAST_SCORE = 3.0, 0.6, -0.4
#: What speaks for a joint, in natural logs of ratios where not said otherwise, as means over the
#: cells that move; fitted by logistic regression on development clips, with the weights of each.
EVIDENCE = {
    "step by the largest step nearby": 1.045,
    "step by the usual one": 0.714,
    "step over two frames that ends with it, by it": -1.394,
    "step over two frames that begins with it, by it": -2.244,
    "step over three frames around it, by it": -1.792,
    "step by those over two frames on both sides": 0.604,
    "step by those over three frames on both sides": 0.545,
    "step by the largest one around": 1.047,
    "cosine of the change before and this change": -1.938,
    "cosine of this change and the change after": -1.926,
    "cosine of the changes before and after": 0.092,
    "what matching leaves, by that nearby": 2.148,
    "what matching leaves, grey levels": 1.451,
    "way of the tiles by that nearby": 0.528,
    "way of the tiles, pixels": 0.105,
    "size of the step, grey levels": -0.490,
}
WEIGHTS, BIAS = np.array(list(EVIDENCE.values())), -1.192


@dataclass(frozen=True)
class Joint:
    """What is known of one step.

    Attributes:
        likely: Log odds that it is a joint, as fitted on development clips.
        frames: How many times the usual step it is.
        same_shot: Whether both frames belong to the same shot.
        evidence: What speaks for it, in the order of `EVIDENCE`.
    """

    likely: float
    frames: float
    same_shot: bool
    evidence: tuple[float, ...]


class Trail:
    """Pictures that follow each other, none shown twice, and the changes one to three frames on."""

    def __init__(self, pictures: Pictures, elapsed: Floats) -> None:
        """Measure the changes.

        Args:
            pictures: uint8, shape (n, height, width), multiples of `TILE_PX`.
            elapsed: Frame times from the picture before to each, shape (n,).
        """
        self.pictures, self.elapsed = pictures, elapsed
        count, height, width = pictures.shape
        shape = (count, height // FIELD_PX, FIELD_PX, width // FIELD_PX, FIELD_PX)
        self._fields = pictures.reshape(shape).mean(axis=(2, 4), dtype=np.float32)
        self._cells = [self._changes(lag) for lag in (1, 2, 3)]

    @classmethod
    def of(cls, motion: Motion, places: Indices) -> Trail:
        """Return the trail of some of the frames of a recording, in their order."""
        return cls(motion.pictures[places], np.ones(len(places)))

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.pictures)

    def joint(self, at: int) -> Joint | None:
        """Judge the step to one picture; None where it is an ordinary one.

        The step is divided by the time that it took, the others are not: neither pull-down nor
        skips make a joint out of an ordinary step.
        """
        if not NEAR < at < len(self) - NEAR:
            return None
        one = self._cells[0]
        nearby = np.r_[at - NEAR : at, at + 1 : at + 1 + NEAR]
        first, last = max(1, at - AROUND), min(len(self), at + AROUND + 1)
        others = np.concatenate([one[first:at], one[at + 1 : last]])
        moving = np.maximum(others.max(axis=0), one[at]) > CELL_MOVING
        if not moving.any():
            return None
        step = np.log(one[at][moving] / self.elapsed[at] + CELL_NOISE)
        usual = _logs(np.median(others[:, moving], axis=0))
        score = float((step - _logs(one[nearby][:, moving].max(axis=0))).mean())
        unusual = float((step - usual).mean())
        if unusual < LEAST_UNUSUAL or score < LEAST_SCORE:
            return None
        whole = tile_change(self.pictures[at - 1 : at], self.pictures[at : at + 1])[0]
        if (size := float(top_tiles(whole / self.elapsed[at]))) < SMALLEST:
            return None
        matches = [block_match(*self.pictures[k : k + 2]) for k in (at - 1, at - 2, at)]
        residual = np.log1p([match[0] for match in matches])
        way = np.log(np.array([match[1] for match in matches]) + 0.5)
        way[0] = np.log(matches[0][1] / self.elapsed[at] + 0.5)
        features = (
            score,
            unusual,
            *self._across(at, moving),
            *self._beside(at, moving, step),
            float((step - _logs(others[:, moving].max(axis=0))).mean()),
            *self._turns(at),
            float((residual[0] - residual[1:].max(axis=0)).mean()),
            float(residual[0].mean()),
            float((way[0] - way[1:].max(axis=0)).mean()),
            float(matches[0][1].mean()),
            float(np.log(size)),
        )
        return Joint(
            likely=float(np.dot(WEIGHTS, features)) + BIAS,
            frames=float(np.exp(np.median(step - usual))),
            same_shot=same_shot(self.pictures[at - 1], self.pictures[at]),
            evidence=features,
        )

    def _across(self, at: int, moving: NDArray[np.bool_]) -> tuple[float, float, float]:
        """Compare steps over more frames around it with it: across a joint they are as large."""
        step = _logs(self._cells[0][at][moving])
        over = (self._cells[1][at], self._cells[1][at + 1], self._cells[2][at + 1])
        before, after, both = (float((_logs(cells[moving]) - step).mean()) for cells in over)
        return before, after, both

    def _beside(self, at: int, moving: NDArray[np.bool_], step: Floats) -> tuple[float, float]:
        """Compare the step with those of two and of three frames on both sides of it."""
        two, three = self._cells[1], self._cells[2]
        larger = np.maximum(two[at - 1], two[at + 2]), np.maximum(three[at - 1], three[at + 3])
        short, long = (float((step - _logs(cells[moving])).mean()) for cells in larger)
        return short, long

    def _turns(self, at: int) -> tuple[float, float, float]:
        """Return how alike the changes before, at and after the step are, as cosines."""
        before, here, after = (self._fields[k] - self._fields[k - 1] for k in (at - 1, at, at + 1))
        return cosine(before, here), cosine(here, after), cosine(before, after)

    def _changes(self, lag: int) -> Floats:
        """Return the root mean square change of every cell over some frames, shape (n, cells)."""
        change = np.zeros_like(self._fields)
        change[lag:] = self._fields[lag:] - self._fields[:-lag] if lag < len(self) else 0.0
        count, height, width = change.shape
        shape = (count, height // CELL_FIELDS, CELL_FIELDS, width // CELL_FIELDS, CELL_FIELDS)
        mean = np.square(change).reshape(shape).mean(axis=(2, 4)).reshape(count, -1)
        return np.asarray(np.sqrt(mean), dtype=np.float64)


def _logs(cells: Floats) -> Floats:
    return np.asarray(np.log(cells + CELL_NOISE))
