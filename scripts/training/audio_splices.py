"""Recordings put together from clips: what pooling makes of them, and how splices are located."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from audio_fit import Head, fold_of
from audio_nets import WINDOW
from audio_pool import LEAST_SPEECH_S, RATE, Clips
from audio_quantize import Encoder8
from audio_robust import Folds
from audio_statistics import Statistics
from audio_trees import log_odds
from numpy.typing import NDArray

from workers import evaluation
from workers.audio.pooling import Calibration, Scored, findings, pool

#: Recordings of each kind, and clips in each, but for the one that is spliced in.
RECORDINGS, CLIPS = 120, 5

Kind = Literal["genuine", "synthetic", "spliced"]
KINDS: tuple[Kind, ...] = ("genuine", "synthetic", "spliced")


@dataclass(frozen=True)
class Recording:
    """Clips of one source in a row, scored by a fold that never saw it.

    Attributes:
        kind: All genuine, all synthetic, or genuine with one synthetic clip.
        scored: Its windows.
        length_s: Its length.
        start_s: Where the synthetic clip of a spliced one begins.
        end_s: And where it ends.
    """

    kind: Kind
    scored: list[Scored]
    length_s: float
    start_s: float = 0.0
    end_s: float = 0.0


def put_together(
    clips: Clips, front_end: Encoder8, folds: Folds, count: int = RECORDINGS
) -> list[Recording]:
    """Make and score `count` recordings of each kind, of one source each, in turn."""
    rng = np.random.default_rng(2)
    owners = np.array([row["source"].replace("self:", "") for row in clips.rows])
    fake = np.array([row["label"] == "spoof" for row in clips.rows])
    usable = clips.speech_s >= LEAST_SPEECH_S

    def of(source: str, *, truth: bool) -> NDArray[np.int64]:
        return np.flatnonzero(usable & (fake == truth) & (owners == source))

    found = []
    for kind in KINDS:
        sources = [
            source
            for source in sorted(set(owners))
            if of(source, truth=kind == "synthetic").size >= CLIPS
            and (kind == "synthetic" or of(source, truth=True).size)
        ]
        for number in range(count if sources else 0):
            source = sources[number % len(sources)]
            chosen = rng.permutation(of(source, truth=kind == "synthetic"))[:CLIPS]
            pieces = [clips.clip(0, clip) for clip in chosen]
            span = (0.0, 0.0)
            if kind == "spliced":
                place = int(rng.integers(1, CLIPS))
                start = sum(piece.size for piece in pieces[:place])
                pieces.insert(place, clips.clip(0, int(rng.choice(of(source, truth=True)))))
                span = (start / RATE, (start + pieces[place].size) / RATE)
            samples = np.concatenate(pieces)
            scored = _score(samples, source, front_end, folds)
            if scored:
                found.append(Recording(kind, scored, samples.size / RATE, *span))
    return found


def splices(recordings: list[Recording], params: dict[str, float]) -> dict[str, Any]:
    """Return how often spliced sentences are located, and how often genuine recordings are hit."""
    calibration = Calibration.from_params(dict(params))
    plain = [item for item in recordings if item.kind == "genuine"]
    spliced = [item for item in recordings if item.kind == "spliced"]
    if not plain or not spliced:
        return {"recordings_each": 0}
    wrong = [len(findings(item.scored, calibration)) for item in plain]
    hits = [
        [
            min(found.end_s, item.end_s) > max(found.start_s, item.start_s)
            for found in findings(item.scored, calibration)
        ]
        for item in spliced
    ]
    both = plain + spliced
    llr = np.array([pool(item.scored, calibration, 0.0).llr for item in both])
    hours = sum(item.length_s for item in plain) / 3600
    return {
        "recordings_each": len(spliced),
        "located": round(float(np.mean([any(item) for item in hits])), 3),
        "wrong_findings_elsewhere": sum(item.count(False) for item in hits),
        "plain_with_findings": round(float(np.mean([count > 0 for count in wrong])), 3),
        "plain_findings_per_hour": round(sum(wrong) / hours, 2),
        "auc_of_recordings": round(
            evaluation.auc(llr, np.array([item.kind == "spliced" for item in both])), 3
        ),
    }


def pooling(
    recordings: list[Recording], params: dict[str, float], top_share: float
) -> dict[str, float]:
    """Return what a weight of the highest quarter does to recordings of each kind.

    Args:
        recordings: Recordings of all kinds.
        params: The calibration.
        top_share: The weight, as a share of that of the mean.

    Returns:
        Parts of each kind with more than even odds, and the AUC of synthetic and of spliced ones
        against genuine ones.
    """
    scale = params["scale"]
    calibration = Calibration.from_params({**params, "top_scale": top_share * scale})
    llr = np.array([pool(item.scored, calibration, 0.0).llr for item in recordings])
    kinds = np.array([item.kind for item in recordings])
    found = {kind: round(float((llr[kinds == kind] > 0).mean()), 3) for kind in set(kinds)}
    for kind in set(kinds) - {"genuine"}:
        chosen = (kinds == kind) | (kinds == "genuine")
        area = evaluation.auc(llr[chosen], kinds[chosen] == kind)
        found[f"auc, {kind}"] = round(area, 3)
    return found


def _score(
    samples: NDArray[np.int16], source: str, front_end: Encoder8, folds: Folds
) -> list[Scored]:
    """Score windows two seconds apart as the product does: from halves of pieces side by side."""
    count = samples.size // WINDOW
    if not count:
        return []
    cut = torch.tensor(samples[: count * WINDOW].reshape(count, WINDOW)).float() / 32768
    fold = fold_of(source)
    head: Head = folds.heads[fold]
    with torch.no_grad():
        halves = (front_end.halves(cut).numpy() - head.mean) / head.deviation
        odds = log_odds(folds.trees[fold], Statistics()(cut).numpy())
    scores = (halves @ head.weights + head.bias + folds.tree_weight * odds[:, None]).ravel()
    return [
        Scored(2.0 * at, 2.0 * at + 4, 4.0, float(scores[at : at + 2].mean()), 1.0)
        for at in range(scores.size - 1)
    ]
