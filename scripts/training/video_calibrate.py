"""From out-of-fold scores to log-likelihood ratios, and the figures of the model card."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.calibration import stretches
from training.video_crops import Clip
from training.video_data import NARROW, WIDE
from workers import evaluation
from workers.video.pooling import Calibration, low_quarter

Floats = NDArray[np.float64]

#: Weight of the ridge on the slope: the set is small, so confidence is earned.
RIDGE = 1.0
#: Share of untouched clips that the shipped threshold may alarm on.
FALSE_ALARMS = 0.1
BOOTSTRAPS = 200


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
    """Fit scale and offset by Newton's method; both classes weigh the same, so this is an LLR."""
    design = np.column_stack([scores, np.ones(len(scores))])
    weights = np.where(fake, weights / weights[fake].sum(), weights / weights[~fake].sum())
    weights = weights * len(scores) / 2
    beta = np.zeros(2)
    ridge = np.diag([RIDGE, 1e-6])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ beta))
        gradient = design.T @ (weights * (p - fake)) + ridge @ beta
        hessian = (design * (weights * p * (1 - p))[:, None]).T @ design + ridge
        beta -= np.linalg.solve(hessian, gradient)
    return float(beta[0]), float(beta[1])


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
    scores = [[np.array(faces) for faces in held_out[clip.file]] for clip in clips]
    pooled = np.array([np.mean([pooled_score(faces) for faces in of_clip]) for of_clip in scores])
    groups = [clip.group for clip in clips]
    scale, offset = fit_logistic(pooled, fake, np.ones(len(fake)))
    limit = math.log(min(fake.sum(), (~fake).sum()) / 2)
    faces = [np.concatenate(of_clip) for of_clip in scores]
    counts = [len(f) for f in faces]
    face_scale, face_offset = fit_logistic(
        np.concatenate(faces), np.repeat(fake, counts), np.repeat([1 / n for n in counts], counts)
    )
    far = np.array([np.mean(distances[clip.file]) for clip in clips])
    params = {
        "narrow": NARROW,
        "wide": WIDE,
        "scale": scale,
        "offset": offset,
        "face_scale": face_scale,
        "face_offset": face_offset,
        "llr_limit": limit,
        "spread": _spread(pooled, fake, groups),
        "distance_usual": float(np.quantile(far, 0.95)),
        "distance_unfamiliar": float(np.quantile(far, 0.995)),
        "threshold": 0.0,
    }
    calibration = Calibration.from_params(params)
    llr = np.array([np.mean([calibration.of_person(f) for f in of_clip]) for of_clip in scores])
    params["threshold"] = float(np.quantile(llr[~fake], 1 - FALSE_ALARMS))
    return Fitted({name: round(value, 4) for name, value in params.items()}, llr, clips)


def pooled_score(faces: Floats) -> float:
    """Return what the faces of a clip are judged by, before calibration."""
    return float(np.mean([low_quarter(some) for some in stretches(faces)]))


def _spread(pooled: Floats, fake: NDArray[np.bool_], groups: list[str]) -> float:
    """Return how much the ratio of a clip moves when other groups are drawn to calibrate with."""
    rng = np.random.default_rng(0)
    names = np.array(groups)
    unique = np.unique(names)
    ratios = []
    while len(ratios) < BOOTSTRAPS:
        chosen = rng.choice(unique, len(unique))
        drawn = np.concatenate([np.flatnonzero(names == name) for name in chosen])
        if fake[drawn].any() and not fake[drawn].all():
            scale, offset = fit_logistic(pooled[drawn], fake[drawn], np.ones(len(drawn)))
            ratios.append(scale * pooled + offset)
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
