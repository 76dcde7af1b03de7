"""The error rates of unseen sources under one codec, noise or room at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from audio_augment import Samples, add_noise, add_room, transcode
from audio_fit import Head, fold_of, score
from audio_nets import FrontEnd
from audio_pool import LEAST_SPEECH_S, Clips, windows

from workers import evaluation

#: Clips of each class that are looked at.
CLIPS = 60


def _noisy(samples: Samples) -> Samples:
    white = np.random.default_rng(0).standard_normal(samples.size)
    return add_noise(samples, white, 0.5, 15.0)


CONDITIONS: dict[str, Callable[[Samples], Samples]] = {
    "clean": lambda samples: samples,
    "G.711, 8 kHz": lambda samples: transcode(samples, "g711"),
    "GSM, 8 kHz": lambda samples: transcode(samples, "gsm"),
    "mp3, 32 kb/s": lambda samples: transcode(samples, "mp3_32k"),
    "AAC, 24 kb/s": lambda samples: transcode(samples, "aac_24k"),
    "Opus, 12 kb/s": lambda samples: transcode(samples, "opus_12k"),
    "noise, 15 dB": _noisy,
    "room": lambda samples: add_room(samples, np.random.default_rng(0)),
}


def robustness(
    clips: Clips,
    front_end: FrontEnd,
    heads: dict[int, Head],
    calibration: tuple[float, float],
    threshold: float,
) -> dict[str, dict[str, Any]]:
    """Score a fixed choice of clips under every condition, each by a head that never saw it."""
    rng = np.random.default_rng(1)
    labels = np.array([row["label"] == "spoof" for row in clips.rows])
    usable = clips.speech_s >= LEAST_SPEECH_S
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero((labels == truth) & usable))[:CLIPS] for truth in (0, 1)]
    )
    sources = [clips.rows[index]["source"].replace("self:", "") for index in chosen]
    scale, offset = calibration
    found = {}
    for name, change in CONDITIONS.items():
        llr = []
        for index, source in zip(chosen, sources, strict=True):
            clip = change(clips.clip(0, index).astype(np.float32) / 32768)
            cut = windows((np.clip(clip, -1, 1) * 32767).astype(np.int16), None)[:1]
            with torch.no_grad():
                values = front_end(torch.tensor(np.stack(cut)).float() / 32768).numpy()
            llr.append(scale * score(values, heads[fold_of(source)]).mean() + offset)
        found[name] = evaluation.summarise(np.array(llr), labels[chosen], sources, threshold)
    return found
