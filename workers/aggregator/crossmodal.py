"""Whether the mouth moves with the voice: the series of both halves, correlated lag by lag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.agreement import MOUTH, RATE_HZ, SEARCH_S, SPEECH, blocks, decode
from shared.records import Outcome, PartialResult

#: Lags at which sound and mouth of an untouched recording agree; cameras are off by this much.
NEAR_S = 0.2
#: Lags between near and far belong to neither: a peak is wider than one value.
FAR_S = 0.28
#: Mouth that must be seen, and speech heard meanwhile, in seconds.
MIN_SEEN_S, MIN_VOICED_S = 2.4, 2.0
#: Below so much mouth, disagreement is no more than a hint: among pieces of 2.5 to 4.5 s of
#: recordings whose sound fits, some disagree clearly by chance.
SURE_S = 6.0
#: Share of the mouth that sound must cover at a lag for the lag to count.
MIN_COVERED = 0.6
#: Weight of agreement where it should be, against agreement elsewhere.
NEAR_WEIGHT = 2.0
#: Correlation from which on agreement at a wrong lag is named as the offset.
CLEAR = 0.35

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How well the voice fits the mouth.

    Attributes:
        near: Largest correlation at lags that an untouched recording may have.
        far: Largest correlation at any other lag that was searched.
        offset_s: Lag of the largest correlation of all; positive when the sound comes late.
        drift_s: How much later the sound comes in the last burst than in the first one, by their
            own largest correlations; None where only one was seen.
        samples: Mouth samples that were compared.
        voiced_s: Speech that was heard while the mouth was seen.
    """

    near: float
    far: float
    offset_s: float
    drift_s: float | None
    samples: int
    voiced_s: float

    @property
    def mismatch(self) -> float:
        """How much the voice fits the mouth elsewhere rather than where it should, -3 to 3."""
        return self.far - NEAR_WEIGHT * self.near

    @property
    def seen_s(self) -> float:
        """Seconds of mouth that were compared."""
        return self.samples / RATE_HZ

    @property
    def is_offset(self) -> bool:
        """Whether sound and mouth agree, only not at the right time."""
        return self.far >= CLEAR and self.far > self.near


@dataclass(frozen=True)
class _Stretch:
    """Series side by side from one moment on, shape (n, series)."""

    start_s: float
    values: Floats

    @property
    def times(self) -> Floats:
        return self.start_s + np.arange(len(self.values)) / RATE_HZ


def compare(audio: PartialResult | None, video: PartialResult | None) -> Agreement | None:
    """Correlate the series of two halves over all lags.

    Returns:
        The agreement, or None where nobody speaks visibly: no speech, no face, a mouth that does
        not move, too little that both halves cover, or series of two versions.
    """
    if not (audio and video) or audio.outcome is Outcome.FAILED or video.outcome is Outcome.FAILED:
        return None
    if _version(audio, SPEECH) != _version(video, MOUTH):
        return None
    sounds, mouths = _stretches(audio), _stretches(video)
    if not sounds or sum(len(mouth.values) for mouth in mouths) < MIN_SEEN_S * RATE_HZ:
        return None
    voiced_s = _voiced_s(sounds, mouths)
    if voiced_s < MIN_VOICED_S:
        return None
    correlations, samples = _by_lag(sounds, mouths)
    enough = samples >= max(MIN_SEEN_S * RATE_HZ * MIN_COVERED, MIN_COVERED * int(samples.max()))
    near = enough & (np.abs(_LAGS) <= NEAR_S + 1e-9)
    far = enough & (np.abs(_LAGS) >= FAR_S - 1e-9)
    if not near.any() or not far.any():
        return None
    return Agreement(
        near=float(correlations[near].max()),
        far=float(correlations[far].max()),
        offset_s=_peak(correlations, enough),
        drift_s=_drift(sounds, mouths),
        samples=int(samples.max()),
        voiced_s=round(voiced_s, 2),
    )


_REACH = round(SEARCH_S * RATE_HZ)
_LAGS: Floats = np.arange(-_REACH, _REACH + 1) / RATE_HZ


def _version(half: PartialResult, name: str) -> str | None:
    return next((ref.version for ref in half.models if ref.name == name), None)


def _stretches(half: PartialResult) -> list[_Stretch]:
    """Return the stretches of a half; series at another rate are of an older version."""
    kept = [one for one in half.sync if one.rate_hz == RATE_HZ and one.values]
    return [_Stretch(group[0].start_s, decode(group)) for group in blocks(kept)]


def _voiced_s(sounds: Sequence[_Stretch], mouths: Sequence[_Stretch]) -> float:
    """Return how long speech is heard while the mouth is seen; the sound's first series says so."""
    voiced = 0
    for mouth in mouths:
        speech = _sample(sounds, mouth.times)[:, 0]
        voiced += int((np.nan_to_num(speech) > 0.5).sum())  # noqa: PLR2004  # 1 is speech
    return voiced / RATE_HZ


def _by_lag(
    sounds: Sequence[_Stretch], mouths: Sequence[_Stretch]
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the correlation at every lag, each burst centred on its own means, and its samples."""
    sums = np.zeros((len(_LAGS), 3))
    samples = np.zeros(len(_LAGS), dtype=np.int64)
    for mouth in mouths:
        for row, lag in enumerate(_LAGS):
            sound = _sample(sounds, mouth.times + lag)[:, 1:]
            covered = np.isfinite(sound[:, 0])
            if covered.sum() < 2:  # noqa: PLR2004  # one sample has no spread
                continue
            heard = sound[covered] - sound[covered].mean(axis=0)
            seen = mouth.values[covered] - mouth.values[covered].mean(axis=0)
            sums[row] += (heard * seen).sum(), np.square(heard).sum(), np.square(seen).sum()
            samples[row] += int(covered.sum())
    return sums[:, 0] / np.sqrt(np.maximum(sums[:, 1] * sums[:, 2], 1e-9)), samples


def _peak(correlations: Floats, enough: npt.NDArray[np.bool_]) -> float:
    return float(_LAGS[int(np.where(enough, correlations, -np.inf).argmax())])


def _drift(sounds: Sequence[_Stretch], mouths: Sequence[_Stretch]) -> float | None:
    """Compare the lags of the first and the last burst."""
    if len(mouths) < 2:  # noqa: PLR2004  # one has nothing to drift from
        return None
    peaks = []
    for mouth in (mouths[0], mouths[-1]):
        correlations, samples = _by_lag(sounds, [mouth])
        peaks.append(_peak(correlations, samples >= MIN_COVERED * len(mouth.values)))
    return round(peaks[1] - peaks[0], 3)


def _sample(sounds: Sequence[_Stretch], times: Floats) -> Floats:
    """Interpolate the sound's series; NaN where no stretch covers a time."""
    width = sounds[0].values.shape[1]
    values = np.full((len(times), width), np.nan)
    for sound in sounds:
        inside = (times >= sound.start_s) & (times <= sound.times[-1])
        for column in range(width):
            values[inside, column] = np.interp(times[inside], sound.times, sound.values[:, column])
    return values
