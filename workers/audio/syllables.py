"""What of the sound is compared with a mouth: a few series a stretch, from a mel spectrogram."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.agreement import RATE_HZ, Floats, Projection, Span, encode, smooth
from shared.media import PCM_RATE
from shared.records import SyncSeries
from workers.audio.speech import FRAME_S

Samples = NDArray[np.float32]

#: Bands of the spectrogram, evenly spread in mel between these frequencies.
BANDS, LOWEST_HZ, HIGHEST_HZ = 40, 80.0, 7600.0
#: Samples of one spectrum (25 ms), of the step to the next (10 ms), and points of the transform.
_LENGTH, _HOP, _POINTS = 400, 160, 512
#: Spectra are averaged over neighbours with this deviation before every fourth is taken, in hops.
_BLUR = 1.5
_KEEP_EVERY = round(PCM_RATE / _HOP / RATE_HZ)
#: Power that is added to every band: a share of the stretch's mean, and a least one.
_FLOOR_SHARE, _FLOOR = 1e-5, 1e-9
#: Shorter stretches are left out, in spectra.
_LEAST = 100


class Listener:
    """Keeps the sound of the stretches that are compared; at most 80 s, however long it goes on."""

    def __init__(self, spans: tuple[Span, ...]) -> None:
        """Take starts and ends in seconds, in order."""
        self._spans = [(round(start * PCM_RATE), round(end * PCM_RATE)) for start, end in spans]
        self._pieces: list[list[Samples]] = [[] for _ in spans]
        self._heard = 0

    def add(self, block: Samples) -> None:
        """Take in the next block of PCM."""
        for pieces, (start, end) in zip(self._pieces, self._spans, strict=True):
            piece = block[max(0, start - self._heard) : max(0, end - self._heard)]
            if piece.size:
                pieces.append(piece.copy())
        self._heard += block.size

    def series(self, projection: Projection, speech: NDArray[np.bool_]) -> tuple[SyncSeries, ...]:
        """Return, for each stretch with speech, where there is speech, and the projected sound.

        Args:
            projection: Takes the bands of a spectrogram.
            speech: Whether each 32 ms frame is speech.
        """
        found: list[SyncSeries] = []
        for pieces, (start, _) in zip(self._pieces, self._spans, strict=True):
            bands = spectrogram(np.concatenate(pieces)) if pieces else np.zeros((0, BANDS))
            if len(bands) * _KEEP_EVERY < _LEAST or not speech.size:
                continue
            start_s = start / PCM_RATE + _LENGTH / 2 / PCM_RATE
            times = start_s + np.arange(len(bands)) / RATE_HZ
            voiced = speech[np.minimum((times / FRAME_S).astype(int), speech.size - 1)]
            if voiced.any():
                values = projection.project(projection.components(bands))
                found += encode(np.column_stack([voiced, values]), start_s)
        return tuple(found)


def spectrogram(pcm: Samples) -> Floats:
    """Return the logarithm of the power in mel bands at `RATE_HZ`, shape (n, `BANDS`).

    The first row lies `_LENGTH` / 2 samples after the beginning.
    """
    if pcm.size < _LENGTH:
        return np.zeros((0, BANDS))
    pieces = np.lib.stride_tricks.sliding_window_view(pcm, _LENGTH)[::_HOP]
    spectra = np.fft.rfft(pieces * np.hanning(_LENGTH).astype(np.float32), _POINTS, axis=1)
    power = np.square(np.abs(spectra)) @ _bank().T
    logs = np.log(power + _FLOOR_SHARE * power.mean() + _FLOOR)
    return smooth(logs, _BLUR)[::_KEEP_EVERY]


@lru_cache(maxsize=1)
def _bank() -> Floats:
    """Return triangular filters, evenly spread in mel, shape (`BANDS`, points / 2 + 1)."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (LOWEST_HZ, HIGHEST_HZ))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    hz = np.arange(_POINTS // 2 + 1) * PCM_RATE / _POINTS
    rows = [
        np.minimum((hz - left) / (middle - left), (right - hz) / (right - middle))
        for left, middle, right in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    return np.asarray(np.clip(np.stack(rows), 0, None), dtype=np.float64)
