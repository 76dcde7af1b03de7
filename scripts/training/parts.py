"""Recordings of which a part is manipulated, put together from takes that no network had seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from workers import evaluation

Floats = NDArray[np.float64]
Judge = Callable[[Floats], float]

#: Takes in a row of which one is manipulated, and how many recordings of each are put together.
ROWS = (2, 4)
RECORDINGS = 600


def partly(
    genuine: Sequence[Floats],
    manipulated: Sequence[Floats],
    judges: dict[str, Judge],
    threshold: float,
) -> dict[str, dict[str, float]]:
    """Tell how well recordings with one manipulated take are told from those with none.

    Args:
        genuine: Scores of each genuine take, in order of time.
        manipulated: Of each manipulated one.
        judges: Ways to judge the scores of a recording, which give a log-likelihood ratio.
        threshold: From which ratio on one counts as an alarm.

    Returns:
        For each length of `ROWS`, as `1 of 2`, the area under the curve (`auc`) by each way, and
        the shares above the threshold (`alarms`, `false alarms`).
    """
    rows = {}
    for takes in ROWS:
        pairs = _pairs(genuine, manipulated, takes)
        found = {}
        for name, judge in judges.items():
            llr = np.array([judge(recording) for pair in pairs for recording in pair])
            fake = np.arange(len(llr)) % 2 == 1
            found[f"auc, {name}"] = round(evaluation.auc(llr, fake), 3)
            found[f"alarms, {name}"] = round(float(np.mean(llr[fake] > threshold)), 3)
            found[f"false alarms, {name}"] = round(float(np.mean(llr[~fake] > threshold)), 3)
        rows[f"1 of {takes}"] = found
    return rows


def _pairs(
    genuine: Sequence[Floats], manipulated: Sequence[Floats], takes: int
) -> list[tuple[Floats, Floats]]:
    """Return pairs of recordings that differ in one take: it is genuine in the first."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(RECORDINGS):
        row = [genuine[index] for index in rng.choice(len(genuine), takes, replace=False)]
        changed = list(row)
        changed[rng.integers(takes)] = manipulated[rng.integers(len(manipulated))]
        pairs.append((np.concatenate(row), np.concatenate(changed)))
    return pairs
