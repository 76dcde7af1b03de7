"""How well a synthetic sentence spliced into genuine speech is located, and how often wrongly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from audio_fit import Head, fold_of
from audio_nets import WINDOW, FrontEnd, Statistics
from audio_pool import LEAST_SPEECH_S, RATE, Clips
from audio_robust import Folds
from audio_trees import log_odds
from numpy.typing import NDArray

from workers import evaluation
from workers.audio.pooling import Calibration, Scored, findings, pool

#: Recordings of each kind, and genuine clips in each.
RECORDINGS, CLIPS = 40, 5


def splices(
    clips: Clips, front_end: FrontEnd, folds: Folds, params: dict[str, float]
) -> dict[str, Any]:
    """Score recordings of several genuine clips of one source, with and without a synthetic one.

    Every recording is scored by the fold that never saw its source.
    """
    calibration = Calibration.from_params(dict(params))
    rng = np.random.default_rng(2)
    owners = np.array([row["source"].replace("self:", "") for row in clips.rows])
    fake = np.array([row["label"] == "spoof" for row in clips.rows])
    usable = clips.speech_s >= LEAST_SPEECH_S
    sources = [
        source
        for source in sorted(set(owners))
        if (usable & ~fake & (owners == source)).sum() >= CLIPS
        and (usable & fake & (owners == source)).any()
    ]
    if not sources:
        return {"recordings_each": 0}
    found: list[dict[str, Any]] = []
    for index in range(2 * RECORDINGS):
        source, spliced = sources[index // 2 % len(sources)], index % 2 == 0
        genuine = rng.permutation(np.flatnonzero(usable & ~fake & (owners == source)))[:CLIPS]
        pieces = [clips.clip(0, clip) for clip in genuine]
        place = int(rng.integers(1, CLIPS))
        start = sum(piece.size for piece in pieces[:place]) / RATE
        inserted = rng.choice(np.flatnonzero(usable & fake & (owners == source)))
        if spliced:
            pieces.insert(place, clips.clip(0, inserted))
        end = start + clips.clip(0, inserted).size / RATE
        scored = _score(np.concatenate(pieces), source, front_end, folds)
        hits = [
            min(item.end_s, end) - max(item.start_s, start) > 0
            for item in findings(scored, calibration)
        ]
        llr = pool(scored, calibration, 0.0).llr
        minutes = sum(piece.size for piece in pieces) / RATE / 60
        found.append({"spliced": spliced, "hits": hits, "llr": llr, "minutes": minutes})
    return _summary(found)


def _summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    spliced = [item for item in found if item["spliced"]]
    plain = [item for item in found if not item["spliced"]]
    wrong = sum(len(item["hits"]) for item in plain)
    return {
        "recordings_each": len(spliced),
        "located": round(float(np.mean([any(item["hits"]) for item in spliced])), 3),
        "wrong_findings_elsewhere": int(sum(item["hits"].count(False) for item in spliced)),
        "plain_with_findings": round(float(np.mean([bool(item["hits"]) for item in plain])), 3),
        "plain_findings_per_hour": round(60 * wrong / sum(item["minutes"] for item in plain), 2),
        "auc_of_recordings": round(
            evaluation.auc(
                np.array([item["llr"] for item in found]),
                np.array([item["spliced"] for item in found]),
            ),
            3,
        ),
    }


def _score(
    samples: NDArray[np.int16], source: str, front_end: FrontEnd, folds: Folds
) -> list[Scored]:
    """Score windows two seconds apart as the product does: from halves of pieces side by side."""
    count = samples.size // WINDOW
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
