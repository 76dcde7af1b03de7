"""Whether the mouth moves with the voice: speech envelope against mouth series, by lag search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.records import Outcome, PartialResult, SyncSeries

#: Lags at which sound and mouth of an untouched recording agree: the mouth moves up to a syllable
#: before it is heard, and series of 12.5 Hz are coarse. Picked among some thirty settings on the
#: same few development clips, so the figure in the card is optimistic.
NEAR_S = 0.28
#: Both series are averaged over this many neighbours to each side.
SMOOTHING = 1
#: Largest lag that is searched.
SEARCH_S = 1.6
#: Mouth samples below this say nothing: at 12.5 Hz about 2.5 s.
MIN_SAMPLES = 32
#: Share of the mouth samples that sound must cover at a lag for the lag to count.
MIN_COVERED = 0.6
#: Speech that must be heard while the mouth is seen, in seconds.
MIN_VOICED_S = 2.0
#: Standard deviation of the mouth series, in steps of 1/255, below which nobody speaks visibly.
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
    if _voiced_s(audio.sync, bursts) < MIN_VOICED_S:
        return None
    lags = np.arange(-round(SEARCH_S * rate), round(SEARCH_S * rate) + 1) / rate
    found = [_at_lag(audio.sync, bursts, float(lag)) for lag in lags]
    samples = np.array([count for _, count in found])
    correlations = np.array([value for value, _ in found])
    enough = samples >= max(MIN_SAMPLES, MIN_COVERED * int(samples.max()))
    near = enough & (np.abs(lags) <= NEAR_S)
    far = enough & (np.abs(lags) > NEAR_S)
    if not near.any() or not far.any():
        return None
    best = int(np.where(enough, correlations, -np.inf).argmax())
    return Agreement(
        near=float(correlations[near].max()),
        far=float(correlations[far].max()),
        offset_s=float(lags[best]),
        samples=int(samples.max()),
    )


def _moves(burst: SyncSeries) -> bool:
    return len(burst.values) > 1 and float(np.std(burst.values)) >= MIN_MOTION


def _voiced_s(envelope: tuple[SyncSeries, ...], bursts: list[SyncSeries]) -> float:
    """Return how long speech is heard while the mouth is seen; the envelope is 0 without speech."""
    voiced = 0.0
    for burst in bursts:
        times = burst.start_s + np.arange(len(burst.values)) / burst.rate_hz
        voiced += float((np.nan_to_num(_sample(envelope, times)) > 0).sum()) / burst.rate_hz
    return voiced


def _at_lag(
    envelope: tuple[SyncSeries, ...], bursts: list[SyncSeries], lag_s: float
) -> tuple[float, int]:
    """Return the correlation at one lag, each burst centred on its own mean, and its samples."""
    covariance = loud_power = mouth_power = 0.0
    samples = 0
    for burst in bursts:
        times = burst.start_s + np.arange(len(burst.values)) / burst.rate_hz
        loudness = _sample(envelope, times + lag_s)
        covered = np.isfinite(loudness)
        if covered.sum() < 2:  # noqa: PLR2004  # one sample has no spread
            continue
        loud = loudness[covered] - loudness[covered].mean()
        mouth = _smooth(burst.values)[covered]
        mouth -= mouth.mean()
        covariance += float(loud @ mouth)
        loud_power += float(loud @ loud)
        mouth_power += float(mouth @ mouth)
        samples += int(covered.sum())
    return covariance / float(np.sqrt(max(loud_power * mouth_power, 1e-9))), samples


def _smooth(values: tuple[int, ...]) -> Floats:
    """Average each value with its neighbours; the ends stand in for what is beyond them."""
    padded = np.pad(np.asarray(values, dtype=np.float64), SMOOTHING, mode="edge")
    return np.convolve(padded, np.full(2 * SMOOTHING + 1, 1 / (2 * SMOOTHING + 1)), "valid")


def _sample(envelope: tuple[SyncSeries, ...], times: Floats) -> Floats:
    """Interpolate the envelope; NaN where no series covers a time."""
    values = np.full(len(times), np.nan)
    for series in envelope:
        grid = series.start_s + np.arange(len(series.values)) / series.rate_hz
        if len(grid):
            found = np.interp(times, grid, _smooth(series.values), left=np.nan, right=np.nan)
            values = np.where(np.isnan(values), found, values)
    return values
