"""Whether the mouth moves with the voice: speech envelope against mouth opening, by lag search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.records import Outcome, PartialResult, SyncSeries

#: Lags at which sound and mouth of an untouched recording agree: ITU-R BT.1359-1 calls an offset
#: of sound by -125 to +45 ms just noticeable; rounded up for 12.5 Hz series.
NEAR_S = 0.2
#: Largest lag that is searched.
SEARCH_S = 1.6
#: Mouth samples below this say nothing: at 12.5 Hz about 2.5 s.
MIN_SAMPLES = 32
#: Standard deviation of the mouth opening, in steps of 1/255, below which nobody speaks visibly.
MIN_MOTION = 6.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How well the voice fits the mouth.

    Attributes:
        near: Largest correlation at lags that an untouched recording may have.
        far: Largest correlation at any other lag that was searched.
        offset_s: Lag of the largest correlation of all; positive when the sound comes late.
        samples: Mouth samples that were compared.
    """

    near: float
    far: float
    offset_s: float
    samples: int

    @property
    def mismatch(self) -> float:
        """How much better the voice fits the mouth elsewhere than where it should, -2 to 2."""
        return self.far - self.near


def compare(audio: PartialResult | None, video: PartialResult | None) -> Agreement | None:
    """Correlate the series of two halves over all lags.

    Returns:
        The agreement, or None where nobody speaks visibly: no speech, no face, a mouth that does
        not move, or too few samples that both halves cover.
    """
    if not (audio and video) or audio.outcome is Outcome.FAILED or video.outcome is Outcome.FAILED:
        return None
    bursts = [burst for burst in video.sync if _moves(burst)]
    if not audio.sync or not bursts:
        return None
    rate = bursts[0].rate_hz
    lags = np.arange(-round(SEARCH_S * rate), round(SEARCH_S * rate) + 1) / rate
    pairs = [_pairs(audio.sync, burst, lags) for burst in bursts]
    samples = sum(len(mouth) for mouth, _ in pairs)
    if samples < MIN_SAMPLES:
        return None
    correlations = _correlations(pairs)
    is_near = np.abs(lags) <= NEAR_S
    return Agreement(
        near=float(correlations[is_near].max()),
        far=float(correlations[~is_near].max()),
        offset_s=float(lags[int(correlations.argmax())]),
        samples=samples,
    )


def _moves(burst: SyncSeries) -> bool:
    return len(burst.values) > 1 and float(np.std(burst.values)) >= MIN_MOTION


def _pairs(
    envelope: tuple[SyncSeries, ...], burst: SyncSeries, lags: Floats
) -> tuple[Floats, Floats]:
    """Return mouth samples, and envelopes (lag x sample), where sound covers every lag."""
    times = burst.start_s + np.arange(len(burst.values)) / burst.rate_hz
    loudness = np.stack([_sample(envelope, times + lag) for lag in lags])
    covered = np.isfinite(loudness).all(axis=0)
    mouth = np.asarray(burst.values, dtype=np.float64)
    return mouth[covered], loudness[:, covered]


def _sample(envelope: tuple[SyncSeries, ...], times: Floats) -> Floats:
    """Interpolate the envelope; NaN where no series covers a time."""
    values = np.full(len(times), np.nan)
    for series in envelope:
        grid = series.start_s + np.arange(len(series.values)) / series.rate_hz
        if len(grid):
            found = np.interp(times, grid, series.values, left=np.nan, right=np.nan)
            values = np.where(np.isnan(values), found, values)
    return values


def _correlations(pairs: list[tuple[Floats, Floats]]) -> Floats:
    """Pool the correlation of all bursts at each lag, each burst centred on its own mean."""
    covariance = loud_power = mouth_power = np.zeros(1)
    for mouth, loudness in pairs:
        if len(mouth) == 0:
            continue
        centred_mouth = mouth - mouth.mean()
        centred_loud = loudness - loudness.mean(axis=1, keepdims=True)
        covariance = covariance + centred_loud @ centred_mouth
        loud_power = loud_power + (centred_loud**2).sum(axis=1)
        mouth_power = mouth_power + (centred_mouth**2).sum()
    return covariance / np.sqrt(np.maximum(loud_power * mouth_power, 1e-9))
