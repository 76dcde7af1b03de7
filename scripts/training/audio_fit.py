"""Fit a linear head and trees, and score every source with heads and trees that never saw it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from audio_trees import grow, log_odds
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FOLDS = 8
#: Standardised figures are clipped here, so that no outlier decides.
CLIP = 4.0
#: Strength of the ridge penalty, and weight of a degraded copy against a clean one; both chosen
#: by the AUC on unseen sources.
PENALTY = 0.3
COPY_WEIGHT = 0.3
#: The same weight for the trees, and the share of their log-odds' spread in that of the score.
TREE_COPY_WEIGHT, TREE_SHARE = 0.5, 1.25
#: Families that today's fakes are made with count more, those of the past less; chosen by the AUC
#: on unseen sources of the current ones.
CURRENT = (
    *("ar+diffusion", "codec-lm", "codec-nar", "codec-flow", "commercial"),
    *("diffusion-tts", "e2e-vits", "tts-neural", "am+gan"),
)
OLD = ("formant", "concat/hmm", "dsp-vocoder")
CURRENT_WEIGHT, OLD_WEIGHT = 2.0, 0.5


@dataclass
class Head:
    """score = clip((figures - mean) / deviation, ±CLIP) @ weights + bias."""

    mean: Floats
    deviation: Floats
    weights: Floats
    bias: float


@dataclass
class Table:
    """Windows with all that is known of them; arrays of one length.

    Attributes:
        figures: float32 of shape (windows, figures), of the encoder.
        statistics: The same, of bands and cepstra.
        fake: Truth.
        source: Where the clip comes from; copies of a source's own clips carry its name.
        maker: The same, with copies apart; what sampling is balanced over.
        clip: Number of the clip.
        copy: 0 for the clean window.
        family: Kind of synthesis, empty for genuine clips and where nobody knows.
        pool: Whether the clip belongs to the pool proper, not to its extension.
    """

    figures: NDArray[np.float32]
    statistics: NDArray[np.float32]
    fake: NDArray[np.bool_]
    source: NDArray[np.str_]
    maker: NDArray[np.str_]
    clip: NDArray[np.int64]
    copy: NDArray[np.int64]
    pool: NDArray[np.bool_]
    family: NDArray[np.str_]

    def part(self, chosen: NDArray[np.bool_]) -> Table:
        """Return some of the windows."""
        return Table(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def of_pool(self) -> Table:
        """Return the windows of the pool proper alone."""
        return self.part(self.pool)


def fold_of(source: str, sets: int = FOLDS) -> int:
    """Assign a source to a fold by its digest, or to one of fewer sets of folds."""
    digest = hashlib.md5(source.encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % FOLDS % sets


def balance(table: Table, copy_weight: float = COPY_WEIGHT) -> Floats:
    """Return weights: both classes alike, a source by the root of its size, copies by less."""
    weights = np.zeros(len(table.fake))
    for truth in (True, False):
        for maker in np.unique(table.maker[table.fake == truth]):
            chosen = (table.maker == maker) & (table.fake == truth)
            weights[chosen] = chosen.sum() ** -0.5
    weights *= np.where(np.isin(table.family, OLD), OLD_WEIGHT, 1.0)
    weights *= np.where(np.isin(table.family, CURRENT), CURRENT_WEIGHT, 1.0)
    return weights * np.where(table.copy == 0, 1.0, copy_weight)


@dataclass
class CrossFit:
    """Out-of-fold scores by penalty, one head a fold that never saw it, and one that saw all."""

    scores: dict[float, Floats]
    fold_heads: dict[int, Head]
    head: Head


@dataclass
class Grown:
    """Out-of-fold log-odds of the trees, trees of each fold that never saw it, and of all."""

    odds: Floats
    fold_trees: dict[int, Any]
    trees: Any


def cross_grow(table: Table, seed: int, sets: int = FOLDS) -> Grown:
    """Score every window by trees that saw neither its source nor copies of it."""
    weights = balance(table, TREE_COPY_WEIGHT)
    names, inverse = np.unique(table.source, return_inverse=True)
    folds = np.array([fold_of(name, sets) for name in names])[inverse]
    odds = np.zeros(len(folds))
    fold_trees = {}
    for fold in np.unique(folds):
        rest, chosen = folds != fold, folds == fold
        trees = grow(table.statistics[rest], table.fake[rest], weights[rest], seed)
        odds[chosen] = log_odds(trees, table.statistics[chosen])
        fold_trees[int(fold)] = trees
    return Grown(odds, fold_trees, grow(table.statistics, table.fake, weights, seed))


@dataclass
class _Sums:
    """Weighted sums of one class in one fold, from which any head follows."""

    total: float
    first: Floats
    second: Floats


def _sums(values: NDArray[np.float32], weights: Floats) -> _Sums:
    scaled = values * weights[:, None].astype(np.float32)
    return _Sums(
        float(weights.sum()),
        scaled.sum(0, dtype=np.float64),
        (scaled.T @ values).astype(np.float64),
    )


def _solve(parts: dict[bool, list[_Sums]], penalty: float) -> tuple[Floats, float]:
    """Ridge regression to ±1 with both classes at half the weight."""
    means, second = {}, 0.0
    for truth, sums in parts.items():
        total = sum(item.total for item in sums)
        means[truth] = sum(item.first for item in sums) / total
        second = second + sum(item.second for item in sums) / (2 * total)
    middle = (means[True] + means[False]) / 2
    spread = second - np.outer(middle, middle)
    between = (means[True] - means[False]) / 2
    weights = np.linalg.solve(spread + penalty * np.eye(len(middle)), between)
    return weights, float(-middle @ weights)


def score(values: NDArray[np.float32], head: Head) -> Floats:
    """Return the scores of figures (windows, figures)."""
    standard = np.clip((values - head.mean) / head.deviation, -CLIP, CLIP)
    return np.asarray(standard @ head.weights + head.bias)


def cross_fit(
    table: Table,
    penalties: tuple[float, ...] = (PENALTY,),
    copy_weight: float = COPY_WEIGHT,
    sets: int = FOLDS,
) -> CrossFit:
    """Score every window by a head that saw neither its source nor copies of it."""
    mean = table.figures.mean(0, dtype=np.float64)
    deviation = table.figures.std(0, dtype=np.float64) + 1e-6
    values = np.clip((table.figures - mean) / deviation, -CLIP, CLIP).astype(np.float32)
    weights = balance(table, copy_weight)
    names, inverse = np.unique(table.source, return_inverse=True)
    folds = np.array([fold_of(name, sets) for name in names])[inverse]
    sums = {
        (fold, truth): _sums(values[chosen], weights[chosen])
        for fold in range(sets)
        for truth in (True, False)
        if (chosen := (folds == fold) & (table.fake == truth)).any()
    }

    def fit(without: int, penalty: float) -> Head:
        parts = {
            truth: [item for (f, t), item in sums.items() if f != without and t == truth]
            for truth in (True, False)
        }
        return Head(mean, deviation, *_solve(parts, penalty))

    scores = {penalty: np.zeros(len(folds)) for penalty in penalties}
    fold_heads = {}
    for fold in range(sets):
        for penalty in reversed(penalties):
            fold_heads[fold] = head = fit(fold, penalty)
            scores[penalty][folds == fold] = values[folds == fold] @ head.weights + head.bias
    return CrossFit(scores, fold_heads, fit(-1, penalties[0]))


def logistic(scores: Floats, fake: NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """Fit llr = scale * score + offset by weighted logistic regression (Newton's method)."""
    design = np.stack([scores, np.ones_like(scores)], axis=1)
    beta = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (weights * (fake - p)) - 1e-3 * beta
        hessian = (design * (weights * p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        beta += step
        if np.abs(step).max() < 1e-8:
            break
    return float(beta[0]), float(beta[1])


def by_clip(values: Floats, table: Table, copy: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the clips of one copy and the mean over their windows."""
    chosen = table.copy == copy
    clips, inverse = np.unique(table.clip[chosen], return_inverse=True)
    return clips, np.bincount(inverse, values[chosen]) / np.bincount(inverse)
