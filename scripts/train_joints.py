#!/usr/bin/env python3
"""Fit the weights of the evidence for a joint inside a shot, and measure them by group.

    scripts/tamper.py SOURCES CLIPS --half development --clips 120 --untouched 240
    scripts/train_joints.py CLIPS/manifest.csv

Steps of untouched clips are no joints. Joints are the ends of `deleted_frames` and `splice` clips,
and places of untouched clips where 8 to 60 frames are left out here. Clips with cuts, fades or an
unsteady hand teach neither. Prints one JSON document: for each of eight folds by group how many
joints are told at thresholds that no, one or two untouched recordings outside the fold reach, and
weights and bias for `workers/video/joints.py`, fitted on everything. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from shared.dense import GreyReader
from shared.errors import GuardianError
from shared.probing import probe
from workers import evaluation
from workers.video.joints import EVIDENCE, Joint, Trail
from workers.video.jumps import held
from workers.video.motion import SIDE_PX, Motion, measure

#: Frames that are left out of untouched clips, places in each, and frames kept on both sides.
LEFT_OUT, PLACES, BESIDE = (8, 60), 2, 16
#: Strength of the penalty (scikit-learn's C) and folds.
PENALTY, FOLDS = 0.1, 8
#: Frames before the end of a finding's span at which a joint lies, in seconds.
_POINT_S = 0.2
_NEITHER = ("cut", "fade", "unsteady", "still")


@dataclass(frozen=True)
class Step:
    """One step; `joint` is None where it did not stand out."""

    joint: Joint | None
    truth: bool
    group: str
    source: str


def main() -> None:
    """Read, fit, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    steps = list(read(options.manifest, random.Random(options.seed)))
    print(json.dumps(report(steps), indent=1))


def read(manifest: Path, rng: random.Random) -> Iterator[Step]:
    """Yield the steps of all clips of a manifest; clips that cannot be read are named."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        wanted = row["label"] in ("deleted_frames", "splice") or (
            row["label"] == "none" and not any(word in row["kind"] for word in _NEITHER)
        )
        if not wanted:
            continue
        try:
            motion = _motion(manifest.parent / row["file"])
        except GuardianError as error:
            print(f"{row['file']}: {error}", flush=True)
            continue
        places = np.flatnonzero(~held(motion))
        if row["label"] == "none":
            found = [(joint, False) for joint in _ordinary(motion, places)]
            found += [(joint, True) for joint in _left_out(motion, places, rng)]
        else:
            found = [(_at(motion, places, float(row["end_s"]) - _POINT_S), True)]
        for joint, truth in found:
            if joint is None or joint.same_shot:
                yield Step(joint, truth, row["group"], row["source"])


def _motion(path: Path) -> Motion:
    media = probe(path)
    track = media.of_kind("video")[0]
    return measure(iter(GreyReader(path, media, track, max_side_px=SIDE_PX, max_frames=9_000)))


def _ordinary(motion: Motion, places: NDArray[np.int64]) -> list[Joint]:
    """Return the steps of a clip that stand out although nothing is missing."""
    trail = Trail.of(motion, places)
    return [joint for at in range(len(trail)) if (joint := trail.joint(at))]


def _left_out(
    motion: Motion, places: NDArray[np.int64], rng: random.Random
) -> Iterator[Joint | None]:
    """Leave frames out of a clip, and return the steps over the gaps."""
    for _ in range(PLACES):
        length = rng.randint(*LEFT_OUT)
        if len(places) < length + 2 * BESIDE + 1:
            continue
        start = rng.randint(BESIDE, len(places) - length - BESIDE)
        around = np.r_[places[start - BESIDE : start], places[start + length :][:BESIDE]]
        yield Trail.of(motion, around).joint(BESIDE)


def _at(motion: Motion, places: NDArray[np.int64], time_s: float) -> Joint | None:
    """Return the step to the picture nearest a time."""
    trail = Trail.of(motion, places)
    nearest = int(np.abs(motion.times_s[places] - time_s).argmin())
    joints = [trail.joint(at) for at in (nearest - 1, nearest, nearest + 1)]
    return max((j for j in joints if j), key=lambda j: j.likely, default=None)


def report(steps: list[Step]) -> dict[str, Any]:
    """Fit on all, and measure out of fold."""
    known = [step for step in steps if step.joint]
    features = np.array([step.joint.evidence for step in known if step.joint])
    truth = np.array([step.truth for step in known])
    groups = np.array([step.group for step in known])
    missed = sum(step.truth and step.joint is None for step in steps)
    scores, shipped = np.zeros(len(known)), np.array([s.joint.likely for s in known if s.joint])
    for train, test in GroupKFold(FOLDS).split(features, truth, groups):
        weights, bias = fit(features[train], truth[train])
        scores[test] = features[test] @ weights + bias
    weights, bias = fit(features, truth)
    return {
        "joints": int(truth.sum()) + missed,
        "joints_that_do_not_stand_out": missed,
        "other_steps": int((~truth).sum()),
        "groups": len(set(groups)),
        "auc_out_of_fold": round(evaluation.auc(scores, truth), 4),
        "out_of_fold": told(scores, known, missed),
        "as_shipped": told(shipped, known, missed),
        "weights": dict(zip(EVIDENCE, (round(float(w), 3) for w in weights), strict=True)),
        "bias": round(bias, 3),
    }


def fit(features: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[NDArray[Any], float]:
    """Return weights and bias of a logistic regression over standardised evidence."""
    middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    model = LogisticRegression(C=PENALTY, max_iter=3000).fit((features - middle) / spread, truth)
    weights = model.coef_[0] / spread
    return weights, float(model.intercept_[0] - weights @ middle)


def told(scores: NDArray[np.float64], steps: list[Step], missed: int) -> list[dict[str, float]]:
    """Say how many joints lie above what no, one, two untouched sources reach."""
    highest: dict[str, float] = {}
    for score, step in zip(scores.tolist(), steps, strict=True):
        if not step.truth:
            highest[step.source] = max(score, highest.get(step.source, score))
    joints = np.array([score for score, step in zip(scores, steps, strict=True) if step.truth])
    rows = []
    for allowed, limit in enumerate(sorted(highest.values(), reverse=True)[:3]):
        recall = float((joints > limit).sum()) / max(1, len(joints) + missed)
        rows.append(
            {"sources_above": allowed, "threshold": round(limit, 2), "recall": round(recall, 3)}
        )
    return rows


if __name__ == "__main__":
    main()
