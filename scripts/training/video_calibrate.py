"""From out-of-fold scores to log-likelihood ratios, and the figures of the model card."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.video_crops import Clip
from training.video_data import MARGIN
from workers import evaluation
from workers.video.pooling import summary

Floats = NDArray[np.float64]

#: Weight of the ridge on the slope: the set is small, so confidence is earned.
RIDGE = 1.0
#: Share of untouched clips that the shipped threshold may alarm on.
FALSE_ALARMS = 0.1
BOOTSTRAPS = 200
#: What a second weight of the pooling must save, in Cllr of left-out groups.
MIN_GAIN = 0.005


@dataclass(frozen=True)
class Fitted:
    """What the out-of-fold scores gave.

    Attributes:
        params: The numbers that the workers read.
        llr: Log-likelihood ratio of each scored clip, in the order of `clips`.
        clips: The scored clips.
    """

    params: dict[str, float]
    llr: Floats
    clips: list[Clip]


def fit_logistic(scores: Floats, fake: NDArray[np.bool_], weights: Floats) -> tuple[float, float]:
    """Fit scale and offset; both classes weigh the same, so this is an LLR."""
    scale, offset = fit_weights(scores[:, None], fake, weights)
    return float(scale), float(offset)


def fit_weights(features: Floats, fake: NDArray[np.bool_], weights: Floats) -> Floats:
    """Fit a weight for each column of (n, k) features, and an offset, by Newton's method."""
    design = np.column_stack([features, np.ones(len(features))])
    weights = np.where(fake, weights / weights[fake].sum(), weights / weights[~fake].sum())
    weights = weights * len(features) / 2
    beta = np.zeros(design.shape[1])
    ridge = np.diag([RIDGE] * features.shape[1] + [1e-6])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (weights * (p - fake)) + ridge @ beta
        hessian = (design * (weights * p * (1 - p))[:, None]).T @ design + ridge
        beta -= np.linalg.solve(hessian, gradient)
    return beta


def fit_pooling(features: Floats, fake: NDArray[np.bool_], groups: list[str]) -> Floats:
    """Fit the weights of a clip's mean and top scores, and the offset.

    The top has a weight only if clips of groups that were left out are judged better with it.

    Args:
        features: Mean and top of each clip, shape (n, 2).
        fake: Truth, shape (n,).
        groups: What must not be split.
    """
    one = np.ones(len(fake))
    names = np.array(groups)
    parts = np.random.default_rng(0).integers(5, size=len(np.unique(names)))
    part = parts[np.unique(names, return_inverse=True)[1]]
    costs = []
    for used in (features[:, :1], features):
        llr = np.zeros(len(fake))
        for number in range(5):
            kept = part != number
            beta = fit_weights(used[kept], fake[kept], one[kept])
            llr[~kept] = used[~kept] @ beta[:-1] + beta[-1]
        costs.append(evaluation.cllr(llr, fake))
    print(
        f"pooling: Cllr {costs[0]:.4f} with the mean, {costs[1]:.4f} with the top too", flush=True
    )
    if costs[1] < costs[0] - MIN_GAIN:
        return fit_weights(features, fake, one)
    scale, offset = fit_weights(features[:, :1], fake, one)
    return np.array([scale, 0.0, offset])


def calibrate(
    clips: list[Clip],
    held_out: dict[str, list[list[float]]],
    distances: dict[str, list[float]],
) -> Fitted:
    """Fit all numbers of the calibration.

    Args:
        clips: Rows of the manifest.
        held_out: Per clip, one list of face scores from every network that did not see it.
        distances: Per clip, mean distances from the same networks.
    """
    clips = [clip for clip in clips if clip.file in held_out]
    fake = np.array([clip.fake for clip in clips])
    features = np.array(
        [np.mean([summary(np.array(s)) for s in held_out[c.file]], axis=0) for c in clips]
    )
    groups = [clip.group for clip in clips]
    scale, top_scale, offset = fit_pooling(features, fake, groups)
    limit = math.log(min(fake.sum(), (~fake).sum()) / 2)
    llr = np.clip(features @ (scale, top_scale) + offset, -limit, limit)
    faces = [np.concatenate([np.array(s) for s in held_out[clip.file]]) for clip in clips]
    counts = [len(f) for f in faces]
    face_scale, face_offset = fit_logistic(
        np.concatenate(faces), np.repeat(fake, counts), np.repeat([1 / n for n in counts], counts)
    )
    far = np.array([np.mean(distances[clip.file]) for clip in clips])
    params = {
        "margin": MARGIN,
        "scale": scale,
        "top_scale": top_scale,
        "offset": offset,
        "face_scale": face_scale,
        "face_offset": face_offset,
        "llr_limit": limit,
        "spread": _spread(features[:, : 1 if top_scale == 0 else 2], fake, groups),
        "distance_usual": float(np.quantile(far, 0.95)),
        "distance_unfamiliar": float(np.quantile(far, 0.995)),
        "threshold": float(np.quantile(llr[~fake], 1 - FALSE_ALARMS)),
    }
    return Fitted({name: round(value, 4) for name, value in params.items()}, llr, clips)


def _spread(features: Floats, fake: NDArray[np.bool_], groups: list[str]) -> float:
    """Return how much the ratio of a clip moves when other groups are drawn to calibrate with."""
    rng = np.random.default_rng(0)
    names = np.array(groups)
    unique = np.unique(names)
    ratios = []
    while len(ratios) < BOOTSTRAPS:
        chosen = rng.choice(unique, len(unique))
        drawn = np.concatenate([np.flatnonzero(names == name) for name in chosen])
        if fake[drawn].any() and not fake[drawn].all():
            beta = fit_weights(features[drawn], fake[drawn], np.ones(len(drawn)))
            ratios.append(features @ beta[:-1] + beta[-1])
    return float(np.sqrt(np.var(ratios, axis=0).mean()))


def report(fitted: Fitted) -> dict[str, Any]:
    """Return the figures over all clips, and of each kind and generator against all real clips."""
    fake = np.array([clip.fake for clip in fitted.clips])
    groups = [clip.group for clip in fitted.clips]
    threshold = fitted.params["threshold"]
    figures: dict[str, Any] = {"all": evaluation.summarise(fitted.llr, fake, groups, threshold)}
    for column in ("kind", "generator"):
        for value in sorted({getattr(clip, column) for clip in fitted.clips if clip.fake}):
            rows = np.array(
                [not clip.fake or getattr(clip, column) == value for clip in fitted.clips]
            )
            some = [group for group, kept in zip(groups, rows, strict=True) if kept]
            area = evaluation.bootstrap(evaluation.auc, fitted.llr[rows], fake[rows], some)
            figures[f"{column}: {value}"] = {
                "fakes": int(fake[rows].sum()),
                "auc": round(float(area.value or 0), 3),
                "auc_ci": area.as_list(),
            }
    return figures
