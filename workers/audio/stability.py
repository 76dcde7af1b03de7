"""How steady a voice's score is: the same sound again, slightly noisier or duller."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

#: Speech-to-noise ratio of a noisy copy, in dB.
SNR_DB = 30.0
_LOW_PASS_TAPS = np.array([0.25, 0.5, 0.25])  # -3 dB at 5.8 kHz, zero phase


def instability(
    score: Callable[[list[Samples]], NDArray[np.float32]],
    windows: Sequence[Samples],
    scores: Sequence[float],
) -> float:
    """Return the root mean square change of scores when windows are noisy and dull in turn.

    Args:
        score: Scores windows, shape (n,).
        windows: At least one; a single one is changed in both ways.
        scores: What they had as they are.
    """
    ways = (_noisy, _dull)
    turns = [0, 1] if len(windows) == 1 else range(len(windows))
    rng = np.random.default_rng(0)
    changed = [ways[turn % 2](windows[turn % len(windows)], rng) for turn in turns]
    before = [scores[turn % len(windows)] for turn in turns]
    return float(np.sqrt(np.mean(np.square(score(changed) - before))))


def _noisy(samples: Samples, rng: np.random.Generator) -> Samples:
    level = np.sqrt(np.mean(np.square(samples))) * 10 ** (-SNR_DB / 20)
    noise = rng.standard_normal(samples.size)
    return np.asarray(samples + level * noise, dtype=np.float32)


def _dull(samples: Samples, _: np.random.Generator) -> Samples:
    return np.asarray(np.convolve(samples, _LOW_PASS_TAPS, "same"), dtype=np.float32)
