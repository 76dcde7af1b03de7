#!/usr/bin/env python3
"""Train what mouths and speech are compared by, and measure it on swapped and shifted sound.

    scripts/train_agreement.py DATA WORK [--write] [--seed 7]

DATA has `video/clips/manifest.csv` (file, label, identity or group, has_audio). Mouths and sound
are seen and heard by the pipelines' own code and kept in WORK/cache. The projections are fitted on
four folds by person and measured on the fifth: every clip with its own sound, with the sound of
other clips of its fold, and with its own sound shifted by 0.4 to 1.2 s. Only clips count that the
comparison itself finds applicable: a mouth that moves, and 2 s of speech meanwhile. WORK gets
`clips.csv` (file, sync, group, label, mismatch) for `train_fusion.py --agreement`. Prints one JSON
document; with --write the projections, fitted on all clips, go to shared/models.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from training.agreement_card import write
from training.agreement_data import FIRST_S, Talk, read
from training.agreement_fit import fit

from shared.agreement import RATE_HZ, Projection, encode
from shared.records import Outcome, PartialResult
from workers import evaluation
from workers.aggregator import crossmodal
from workers.video import lips

FOLDS = 5
#: Shifts of a clip's own sound, in seconds, and other clips that lend their sound.
SHIFTS_S = (-1.0, -0.8, -0.4, 0.4, 0.8, 1.0)
SWAPS = 6
#: Clips with less speech are not trained on, in seconds.
MIN_VOICED_S = 2.0


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        talk: The clip whose mouth is seen.
        sync: `own`, `swapped` or `shifted`.
        detail: The other clip, or the shift in seconds.
        found: What the comparison says; None where it is not applicable.
    """

    talk: Talk
    sync: str
    detail: str
    found: crossmodal.Agreement | None


def main() -> None:
    """Train, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    talks = list(read(options.data / "video/clips", options.work / "cache"))
    rows = [row for fold in range(FOLDS) for row in held_out(talks, fold, options.seed)]
    save(options.work / "clips.csv", rows)
    mouth, sound, correlations = fit([talk.pair for talk in talks if speaks(talk)])
    measured = {
        "clips_trained_on": sum(speaks(talk) for talk in talks),
        "correlations": [round(float(value), 3) for value in correlations],
        **figures(rows),
    }
    print(json.dumps(measured, indent=1))
    if options.write:
        write(mouth, sound, measured)


def fold_of(group: str) -> int:
    """Deal a group to a fold, the same on every machine."""
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % FOLDS


def speaks(talk: Talk) -> bool:
    """Whether a clip is good to train on: somebody is heard while the mouth is seen."""
    return talk.voiced_s >= MIN_VOICED_S


def held_out(talks: Sequence[Talk], fold: int, seed: int) -> Iterator[Row]:
    """Compare the clips of one fold by projections that were fitted on the others."""
    mouth, sound, _ = fit(
        [talk.pair for talk in talks if fold_of(talk.group) != fold and speaks(talk)]
    )
    tested = [talk for talk in talks if fold_of(talk.group) == fold]
    lenders = [talk for talk in tested if speaks(talk)]
    rng = random.Random(f"{seed} {fold}")
    for talk in tested:
        seen = look(talk, mouth)
        own = crossmodal.compare(hear(talk, sound), seen)
        yield Row(talk, "own", "", own)
        if own is None:
            continue  # nobody speaks visibly: nothing that other sound could contradict
        others = [other for other in lenders if other.group != talk.group]
        for other in rng.sample(others, min(SWAPS, len(others))):
            yield Row(talk, "swapped", other.file, crossmodal.compare(hear(other, sound), seen))
        for shift_s in SHIFTS_S:
            late = hear(shifted(talk, shift_s), sound)
            yield Row(talk, "shifted", f"{shift_s}", crossmodal.compare(late, seen))


def shifted(talk: Talk, shift_s: float) -> Talk:
    """Let the sound come later; its end wraps around to the beginning."""
    steps = round(shift_s * RATE_HZ)
    return replace(
        talk, sound=np.roll(talk.sound, steps, axis=0), voiced=np.roll(talk.voiced, steps)
    )


def look(talk: Talk, projection: Projection) -> PartialResult:
    """Return the video half's part in the comparison."""
    mouth = lips.Mouth(talk.start_s, talk.mouth, talk.own)
    series = lips.series([mouth], projection, Counter())
    return PartialResult(modality="video", outcome=Outcome.SCORED, sync=series)


def hear(talk: Talk, projection: Projection) -> PartialResult:
    """Return the audio half's part in the comparison."""
    values = projection.project(projection.components(talk.sound))
    series = encode(np.column_stack([talk.voiced, values]), FIRST_S)
    return PartialResult(modality="audio", outcome=Outcome.SCORED, sync=series)


def save(path: Path, rows: Sequence[Row]) -> None:
    """Write one line a comparison; without a mismatch where it is not applicable."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "sync", "group", "label", "detail", "mismatch", "offset_s"])
        for row in rows:
            found = row.found
            values = [round(found.mismatch, 4), found.offset_s] if found else ["", ""]
            writer.writerow(
                [row.talk.file, row.sync, row.talk.group, row.talk.label, row.detail, *values]
            )


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Return how well untouched clips are told from others, with intervals by person."""
    kept = [row for row in rows if row.found is not None]
    own = [row for row in rows if row.sync == "own"]
    applicable = [row for row in kept if row.sync == "own"]
    real = [row for row in kept if row.talk.label == "real"]
    return {
        "clips": len(own),
        "applicable": len(applicable),
        "applicable_real": sum(row.talk.label == "real" for row in applicable),
        "groups": len({row.talk.group for row in applicable}),
        "all": {way: area(kept, way) for way in ("swapped", "shifted", "both")},
        "real": {way: area(real, way) for way in ("swapped", "shifted", "both")},
        "offsets_found": offsets(kept),
    }


def area(rows: Sequence[Row], way: str) -> dict[str, Any]:
    """Return the AUC of one way of moving sound against untouched clips."""
    ways = ("swapped", "shifted") if way == "both" else (way,)
    chosen = [row for row in rows if row.sync in ("own", *ways)]
    found = evaluation.bootstrap(
        evaluation.auc,
        np.array([row.found.mismatch for row in chosen if row.found]),
        np.array([row.sync != "own" for row in chosen]),
        [row.talk.group for row in chosen],
    )
    return {
        "untouched": sum(row.sync == "own" for row in chosen),
        "moved": sum(row.sync != "own" for row in chosen),
        "auc": round(found.value or 0.0, 4),
        "auc_ci": found.as_list(),
    }


def offsets(rows: Sequence[Row]) -> float:
    """Return the share of shifted clips whose shift was found to within `NEAR_S`."""
    right = [
        abs(row.found.offset_s - float(row.detail)) <= crossmodal.NEAR_S
        for row in rows
        if row.sync == "shifted" and row.found
    ]
    return round(float(np.mean(right)), 3) if right else 0.0


if __name__ == "__main__":
    main()
