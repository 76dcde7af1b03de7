#!/usr/bin/env python3
"""Fit the meta-learner on out-of-fold scores of both detectors, and compare ways to combine them.

    scripts/train_fusion.py AUDIO.csv VIDEO.csv [--agreement CLIPS.csv] [--write] [--seed 7]

AUDIO.csv and VIDEO.csv hold scores that no model gave to its own training data, one line a clip:
file, label (bonafide or real, spoof or fake), group, llr. Voices and pictures are dealt to five
folds by group and paired at random inside a fold, so that no source is in two folds: four kinds of
recordings come out of it (real, voice, picture, both). A combination is fitted on four folds and
measured on the fifth. CLIPS.csv holds sync (own, swapped, shifted), group and mismatch of clips
with a speaking face. Prints one JSON document; with --write the parameters go to shared/models.
Needs the project installed, and scipy.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from training.fusion_card import PLAIN, TUNED, shipped, write

from shared.models import Registry
from shared.records import Coverage, Label, Outcome, PartialResult
from workers import evaluation
from workers.aggregator import evidence, fusion

FOLDS = 5
#: Pairs drawn for each video clip and kind of voice.
DRAWS = 8
#: Pull of the fitted numbers towards "as calibrated" (scale 1, shift 0).
PULL = 0.02
FAKE = {"spoof": True, "fake": True, "bonafide": False, "real": False}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Out-of-fold scores of one detector."""

    llr: Floats
    fake: NDArray[np.bool_]
    group: list[str]
    fold: NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Recordings put together from a voice and a picture of the same fold."""

    audio: Floats
    video: Floats
    voice: NDArray[np.bool_]
    picture: NDArray[np.bool_]
    group: list[str]
    fold: NDArray[np.int64]

    @property
    def fake(self) -> NDArray[np.bool_]:
        """Whether anything is manipulated."""
        return self.voice | self.picture

    @property
    def weight(self) -> Floats:
        """Equal total weight for real ones and fakes, and among fakes for each kind."""
        kinds = self.voice.astype(int) + 2 * self.picture.astype(int)
        counts = np.bincount(kinds, minlength=4)
        shares = np.array([0.5, 0.5 / 3, 0.5 / 3, 0.5 / 3])
        return np.asarray(shares[kinds] / counts[kinds])


def main() -> None:
    """Fit, compare, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("audio", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--agreement", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    audio, video = read_scores(options.audio), read_scores(options.video)
    pairs = pair(audio, video, random.Random(options.seed))
    held_out = {name: out_of_fold(pairs, fit) for name, fit in COMBINATIONS.items()}
    figures = {name: figures_of(pairs, llr) for name, llr in held_out.items()}
    fitted = fit_mixture(pairs, np.ones(len(pairs.audio), dtype=bool))
    agreement = fit_agreement(options.agreement) if options.agreement else None
    parameters = shipped(fitted, figures, agreement)
    measured = {
        "pairs": len(pairs.audio),
        "voices": len(audio.llr),
        "pictures": len(video.llr),
        "combinations": figures,
        "agreement": agreement,
        "labels": labels_by_kind(pairs, parameters),
    }
    print(json.dumps({"parameters": parameters, "measured": measured}, indent=1))
    if options.write:
        write(parameters, measured)


def read_scores(path: Path) -> Scores:
    """Read one detector's out-of-fold scores; clips without a score are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["llr"]]
    return Scores(
        llr=np.array([float(row["llr"]) for row in rows]),
        fake=np.array([FAKE[row["label"]] for row in rows]),
        group=[row["group"] for row in rows],
        fold=np.array([fold_of(row["group"]) for row in rows]),
    )


def fold_of(group: str) -> int:
    """Deal a group to a fold, the same on every machine."""
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % FOLDS


def pair(audio: Scores, video: Scores, rng: random.Random) -> Pairs:
    """Pair every video clip with voices of both kinds from its fold, groups drawn evenly."""
    pools: dict[tuple[int, bool], dict[str, list[int]]] = {}
    for index, group in enumerate(audio.group):
        key = int(audio.fold[index]), bool(audio.fake[index])
        pools.setdefault(key, {}).setdefault(group, []).append(index)
    voices: list[int] = []
    pictures: list[int] = []
    for picture, fold in enumerate(video.fold):
        for fake in (False, True):
            groups = pools[int(fold), fake]
            for _ in range(DRAWS):
                voices.append(rng.choice(groups[rng.choice(sorted(groups))]))
                pictures.append(picture)
    return Pairs(
        audio=audio.llr[voices],
        video=video.llr[pictures],
        voice=audio.fake[voices],
        picture=video.fake[pictures],
        group=[video.group[picture] for picture in pictures],
        fold=video.fold[pictures],
    )


# --- ways to combine --------------------------------------------------------------------------

Combine = Callable[[Floats, Floats], Floats]
Fit = Callable[[Pairs, NDArray[np.bool_]], Combine]


def mixture(audio: Floats, video: Floats) -> Floats:
    """Average the likelihood ratios of voice, picture and both, with equal shares."""
    return np.logaddexp(np.logaddexp(audio, video), audio + video) - math.log(3)


def fit_scales(pairs: Pairs, rows: NDArray[np.bool_], form: Combine) -> Floats:
    """Fit scale and shift of each modality (scales at least 0) by class-balanced log loss."""
    audio, video, fake = pairs.audio[rows], pairs.video[rows], pairs.fake[rows]
    weight = pairs.weight[rows] / pairs.weight[rows].sum()
    start = np.array([1.0, 0.0, 1.0, 0.0])

    def loss(values: Floats) -> float:
        llr = form(values[0] * audio + values[1], values[2] * video + values[3])
        cost = np.logaddexp(0, np.where(fake, -llr, llr))
        return float(weight @ cost + PULL * np.square(values - start).sum())

    bounds = [(0, 3), (-3, 3), (0, 3), (-3, 3)]
    return np.asarray(minimize(loss, start, bounds=bounds, method="L-BFGS-B").x)


def fit_mixture(pairs: Pairs, rows: NDArray[np.bool_]) -> Floats:
    """Fit the mixture's scales and shifts."""
    return fit_scales(pairs, rows, mixture)


def _scaled(form: Combine) -> Fit:
    def fit(pairs: Pairs, rows: NDArray[np.bool_]) -> Combine:
        a, b, c, d = fit_scales(pairs, rows, form)
        return lambda audio, video: form(a * audio + b, c * video + d)

    return fit


def _fixed(form: Combine) -> Fit:
    return lambda _pairs, _rows: form


COMBINATIONS: dict[str, Fit] = {
    "audio alone": _fixed(lambda audio, video: audio + 0 * video),
    "video alone": _fixed(lambda audio, video: video + 0 * audio),
    "mean": _fixed(lambda audio, video: (audio + video) / 2),
    "maximum": _fixed(np.maximum),
    "sum": _fixed(lambda audio, video: audio + video),
    "stacking (logistic)": _scaled(lambda audio, video: audio + video),
    PLAIN: _fixed(mixture),
    TUNED: _scaled(mixture),
}


def out_of_fold(pairs: Pairs, fit: Fit) -> Floats:
    """Return the combined score of every pair from a fit that did not see its fold."""
    llr = np.zeros(len(pairs.audio))
    for fold in range(FOLDS):
        test = pairs.fold == fold
        if test.any():
            llr[test] = fit(pairs, ~test)(pairs.audio[test], pairs.video[test])
    return llr


# --- figures ----------------------------------------------------------------------------------


def figures_of(pairs: Pairs, llr: Floats) -> dict[str, Any]:
    """Return AUC with interval by picture group, Cllr, ECE, and AUC against each kind."""
    area = evaluation.bootstrap(evaluation.auc, llr, pairs.fake, pairs.group, resamples=200)
    real = ~pairs.fake
    kinds = {
        "voice": pairs.voice & ~pairs.picture,
        "picture": pairs.picture & ~pairs.voice,
        "both": pairs.voice & pairs.picture,
    }
    folds = [
        evaluation.auc(llr[pairs.fold == f], pairs.fake[pairs.fold == f]) for f in range(FOLDS)
    ]
    return {
        "auc": round(area.value or 0.0, 4),
        "auc_ci": area.as_list(),
        "auc_by_fold": [round(value, 3) for value in folds],
        "cllr": round(evaluation.cllr(llr, pairs.fake), 4),
        "ece": round(evaluation.ece(llr, pairs.fake), 4),
        **{
            f"auc_{name}": round(evaluation.auc(llr[real | rows], pairs.fake[real | rows]), 4)
            for name, rows in kinds.items()
        },
    }


def labels_by_kind(pairs: Pairs, parameters: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the share of each label by kind, as the shipped decision gives them."""
    ref = Registry().entry(fusion.MODEL).ref
    model = fusion.FusionModel(
        model_ref=ref, **{k: v for k, v in parameters.items() if k != "schema"}
    )
    names = {(False, False): "real", (True, False): "voice", (False, True): "picture"}
    counts: dict[str, dict[str, int]] = {}
    for index in range(0, len(pairs.audio), 2):  # a half of the pairs is plenty
        kind = names.get((bool(pairs.voice[index]), bool(pairs.picture[index])), "both")
        label = decide(float(pairs.audio[index]), float(pairs.video[index]), model)
        row = counts.setdefault(kind, {})
        row[label] = row.get(label, 0) + 1
    return {
        kind: {label: round(n / sum(row.values()), 3) for label, n in sorted(row.items())}
        for kind, row in sorted(counts.items())
    }


def decide(audio: float, video: float, model: fusion.FusionModel) -> Label:
    """Label a recording of which only the two scores are known."""
    halves = [
        PartialResult(
            modality="audio", outcome=Outcome.SCORED, llr=audio, coverage=Coverage(speech_s=10)
        ),
        PartialResult(
            modality="video",
            outcome=Outcome.SCORED,
            llr=video,
            coverage=Coverage(faces=24),
            signals={evidence.LOOKED_AT: 1.0},
        ),
    ]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return fusion.decide(*halves, prior=0.5, decided_at=now, model=model).label


def fit_agreement(path: Path) -> dict[str, Any]:
    """Fit an LLR to the mismatch of sound and mouth, and measure it out of fold by group."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["mismatch"]]
    value = np.array([float(row["mismatch"]) for row in rows])
    moved = np.array([row["sync"] != "own" for row in rows])
    group = [row["group"] for row in rows]
    fold = np.array([fold_of(name) for name in group])
    llr = np.zeros(len(rows))
    for number in range(FOLDS):
        test = fold == number
        scale, shift = _logistic(value[~test], moved[~test])
        llr[test] = scale * value[test] + shift
    area = evaluation.bootstrap(evaluation.auc, llr, moved, group)
    scale, shift = _logistic(value, moved)
    return {
        "clips": len(rows),
        "scale": round(scale, 4),
        "shift": round(shift, 4),
        "auc": round(area.value or 0.0, 4),
        "auc_ci": area.as_list(),
        "cllr": round(evaluation.cllr(llr, moved), 4),
    }


def _logistic(value: Floats, truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Return scale (at least 0) and shift of a class-balanced logistic regression."""
    weight = np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())

    def loss(values: Floats) -> float:
        llr = values[0] * value + values[1]
        cost = np.logaddexp(0, np.where(truth, -llr, llr))
        return float(weight @ cost + 1e-3 * np.square(values).sum())

    found = minimize(loss, np.array([1.0, 0.0]), bounds=[(0, 50), (-5, 5)], method="L-BFGS-B").x
    return float(found[0]), float(found[1])


if __name__ == "__main__":
    main()
