"""The error rates of unseen sources under one codec, noise or room at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from audio_augment import Samples, add_noise, add_room, coarse, gate, transcode
from audio_fit import Head, fold_of, score
from audio_pool import LEAST_SPEECH_S, Clips, windows
from audio_quantize import Encoder8
from audio_statistics import Statistics
from audio_trees import log_odds
from numpy.typing import NDArray

#: Clips of each class that are looked at.
CLIPS = 400


def _noisy(samples: Samples) -> Samples:
    white = np.random.default_rng(0).standard_normal(samples.size)
    return add_noise(samples, white, 0.5, 15.0)


CONDITIONS: dict[str, Callable[[Samples], Samples]] = {
    "clean": lambda samples: samples,
    "G.711, 8 kHz": lambda samples: transcode(samples, "g711"),
    "GSM, 8 kHz": lambda samples: transcode(samples, "gsm"),
    "Opus, 8 kb/s, 8 kHz": lambda samples: transcode(samples, "opus_nb_8k"),
    "Opus, 12 kb/s": lambda samples: transcode(samples, "opus_12k"),
    "mp3, 32 kb/s": lambda samples: transcode(samples, "mp3_32k"),
    "AAC, 24 kb/s": lambda samples: transcode(samples, "aac_24k"),
    "noise, 15 dB": _noisy,
    "room": lambda samples: add_room(samples, np.random.default_rng(0)),
    "noise gate": lambda samples: gate(samples, np.random.default_rng(0)),
    "8 bits": lambda samples: coarse(samples, 8),
}


@dataclass
class Folds:
    """Heads and trees by fold; neither ever saw a clip of its fold."""

    heads: dict[int, Head]
    trees: dict[int, Any]
    tree_weight: float

    def score(self, source: str, encoded: NDArray[Any], statistics: NDArray[Any]) -> float:
        """Return the score of one window."""
        fold = fold_of(source)
        odds = log_odds(self.trees[fold], statistics)
        return float((score(encoded, self.heads[fold]) + self.tree_weight * odds).mean())


@dataclass
class Condition:
    """Scores of the chosen clips under one condition."""

    scores: NDArray[np.float64]
    fake: NDArray[np.bool_]
    sources: list[str]


def under_conditions(
    clips: Clips, front_end: Encoder8, folds: Folds, count: int = CLIPS
) -> dict[str, Condition]:
    """Score `count` clips of each class under every condition, by folds that never saw them."""
    rng = np.random.default_rng(1)
    labels = np.array([row["label"] == "spoof" for row in clips.rows])
    usable = clips.speech_s >= LEAST_SPEECH_S
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero((labels == truth) & usable))[:count] for truth in (0, 1)]
    )
    sources = [clips.rows[index]["source"].replace("self:", "") for index in chosen]
    statistics = Statistics().eval()
    found = {}
    for name, change in CONDITIONS.items():
        scores = []
        plain = [clips.clip(0, index).astype(np.float32) / 32768 for index in chosen]
        with ThreadPoolExecutor() as beside:  # codecs are processes of their own
            for clip, source in zip(beside.map(change, plain), sources, strict=True):
                cut = windows((np.clip(clip, -1, 1) * 32767).astype(np.int16), None)[:1]
                with torch.no_grad():
                    heard = torch.tensor(np.stack(cut)).float() / 32768
                    made = front_end(heard).numpy(), statistics(heard).numpy()
                scores.append(folds.score(source, *made))
        found[name] = Condition(np.array(scores), labels[chosen], sources)
        print(f"{name}: {len(scores)} clips scored", flush=True)
    return found
