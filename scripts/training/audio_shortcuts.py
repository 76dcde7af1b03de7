"""What could give a clip's class away besides synthesis: how far each such figure alone goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from workers import evaluation

Floats = NDArray[np.float64]

_TINY = 1e-9


def measure(folder: Path, rows: list[dict[str, str]]) -> dict[str, Floats]:
    """Return figures of every clip, by name: what was in the file, and where it came from."""
    found: dict[str, list[float]] = {}
    for row in rows:
        samples, rate = sf.read(folder / row["file"], dtype="float32")
        for name, value in {**_figures(samples, rate), **_origin(row)}.items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


def _figures(samples: NDArray[np.float32], rate: int) -> dict[str, float]:
    level = np.abs(samples)
    loud = np.flatnonzero(level > 0.02 * level.max())
    power = np.square(np.abs(np.fft.rfft(samples)))
    share = np.cumsum(power) / max(float(power.sum()), _TINY)
    band_hz = float(np.searchsorted(share, 0.999)) / samples.size * rate
    return {
        "duration": samples.size / rate,
        "leading silence": (loud[0] if loud.size else samples.size) / rate,
        "loudness": float(np.log10(np.square(samples).mean() + _TINY)),
        "bandwidth": band_hz,
        "power above 4 kHz": float(1 - share[round(4000 / rate * samples.size)]),
    }


def _origin(row: dict[str, str]) -> dict[str, float]:
    return {
        "original sample rate": float(row["orig_sr"] or 0),
        "original codec is lossless": float("pcm" in row["orig_codec"] or row["orig_codec"] == ""),
    }


def shortcuts(
    folder: Path, rows: list[dict[str, str]], clips: NDArray[np.int64], llr: Floats
) -> dict[str, dict[str, Any]]:
    """Return what each figure alone says about the truth, about the score, and about its errors.

    Args:
        folder: Where the files of `rows` are.
        rows: Lines of the manifest.
        clips: The scored ones among them.
        llr: Their out-of-fold log-likelihood ratios.
    """
    chosen = [rows[index] for index in clips]
    fake = np.array([row["label"] == "spoof" for row in chosen])
    error = np.where(fake, -llr, llr)
    found = {}
    for name, values in measure(folder, chosen).items():
        found[name] = {
            "auc": round(evaluation.auc(values, fake), 3),
            "correlation_with_score": round(_rank_correlation(values, llr), 3),
            **{
                f"correlation_with_error_{name}": round(_rank_correlation(values[k], error[k]), 3)
                for name, k in (("genuine", ~fake), ("spoof", fake))
            },
        }
    return found


def _rank_correlation(first: Floats, second: Floats) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: Floats) -> Floats:
    """Return the rank of each value; equal ones share the middle of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]
