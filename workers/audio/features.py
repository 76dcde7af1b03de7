"""What is kept of the sound besides the windows: loudness, tonality, the speech envelope."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.media import PCM_RATE
from shared.records import SyncSeries
from workers.audio.speech import FRAME_S

Samples = NDArray[np.float32]
Floats = NDArray[np.float64]

#: Points a second of the speech envelope (80 ms each), and how much of a recording it covers.
ENVELOPE_HZ = 12.5
ENVELOPE_MAX_S = 300.0
#: Loudness that becomes 0 in the envelope, in dB full scale; full scale becomes 255.
ENVELOPE_FLOOR_DB = -60.0
#: Below this, sound counts as silence, in dB full scale.
SILENCE_DB = -60.0
#: Share of the non-silent pieces that must be tonal for the sound to count as music or tones.
MUSIC_SHARE = 0.6
#: Spectral flatness (geometric over arithmetic mean, in dB) below which a piece is tonal.
TONAL_DB = -22.0
#: Samples of one piece whose spectrum is looked at (64 ms), one each half second.
_PIECE = 1024
_PIECE_HOP = PCM_RATE // 2
_POINT = round(PCM_RATE / ENVELOPE_HZ)
_TINY = 1e-10


@dataclass
class SoundSummary:
    """Running figures of one recording, a few numbers a second; the envelope is bounded.

    Attributes:
        samples: Samples heard so far.
        clipped: Samples at full scale.
        loud_pieces: Pieces above the silence level.
        tonal_pieces: Those of them with the spectrum of a tone or chord.
    """

    samples: int = 0
    clipped: int = 0
    loud_pieces: int = 0
    tonal_pieces: int = 0
    _power: float = 0.0
    _high_power: float = 0.0
    _spectral_power: float = 0.0
    _rest: Samples = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    _points_db: list[float] = field(default_factory=list)

    def add(self, block: Samples) -> None:
        """Take in the next block of PCM."""
        self.samples += block.size
        self.clipped += int((np.abs(block) >= 0.999).sum())  # noqa: PLR2004  # full scale
        self._power += float(np.square(block, dtype=np.float64).sum())
        self._look_at_spectrum(block)
        if len(self._points_db) < ENVELOPE_HZ * ENVELOPE_MAX_S:
            self._rest = np.concatenate([self._rest, block])
            whole = self._rest.size // _POINT * _POINT
            points = self._rest[:whole].reshape(-1, _POINT).astype(np.float64)
            self._points_db.extend(10 * np.log10(np.square(points).mean(axis=1) + _TINY))
            self._rest = self._rest[whole:]

    def _look_at_spectrum(self, block: Samples) -> None:
        if block.size < _PIECE:
            return
        pieces = np.lib.stride_tricks.sliding_window_view(block, _PIECE)[::_PIECE_HOP]
        power = np.square(np.abs(np.fft.rfft(pieces * np.hanning(_PIECE), axis=1))) + _TINY
        level_db = 10 * np.log10(np.square(pieces, dtype=np.float64).mean(axis=1) + _TINY)
        band = power[:, 6:256]  # 100 Hz to 4 kHz
        flat_db = 10 * (np.log10(band).mean(axis=1) - np.log10(band.mean(axis=1)))
        loud = level_db > SILENCE_DB
        self.loud_pieces += int(loud.sum())
        self.tonal_pieces += int((loud & (flat_db < TONAL_DB)).sum())
        self._spectral_power += float(power.sum())
        self._high_power += float(power[:, 256:].sum())  # 4 kHz and above

    @property
    def duration_s(self) -> float:
        """Length of what was heard, in seconds."""
        return self.samples / PCM_RATE

    @property
    def level_db(self) -> float:
        """Root mean square over the whole recording, in dB full scale."""
        return float(10 * np.log10(self._power / max(1, self.samples) + _TINY))

    @property
    def high_band_db(self) -> float:
        """Power from 4 to 8 kHz relative to all, in dB; about -60 and less in telephone calls."""
        return float(10 * np.log10((self._high_power + _TINY) / (self._spectral_power + _TINY)))

    @property
    def clipped_share(self) -> float:
        """Share of samples at full scale."""
        return self.clipped / max(1, self.samples)

    @property
    def is_silent(self) -> bool:
        """Whether next to nothing is above the silence level."""
        return self.loud_pieces == 0 and self.level_db < SILENCE_DB

    @property
    def is_tonal(self) -> bool:
        """Whether most of the sound is made of tones: music, ringing, dialling."""
        return self.loud_pieces > 0 and self.tonal_pieces >= MUSIC_SHARE * self.loud_pieces

    def signals(self) -> dict[str, float]:
        """Return the figures that travel with the result."""
        return {
            "level_db": round(self.level_db, 2),
            "high_band_db": round(self.high_band_db, 2),
            "clipped_share": round(self.clipped_share, 6),
            "tonal_share": round(self.tonal_pieces / max(1, self.loud_pieces), 4),
        }

    def envelope(self, speech: NDArray[np.bool_]) -> tuple[SyncSeries, ...]:
        """Return the loudness of the speech over time, zero where nobody speaks.

        Args:
            speech: Whether each 32 ms frame is speech.

        Returns:
            One series at `ENVELOPE_HZ` with values 0 to 255, or nothing without sound.
        """
        if not self._points_db or not speech.size:
            return ()
        values = (np.asarray(self._points_db) - ENVELOPE_FLOOR_DB) / -ENVELOPE_FLOOR_DB * 255
        centres_s = (np.arange(values.size) + 0.5) / ENVELOPE_HZ
        frames = np.minimum((centres_s / FRAME_S).astype(int), speech.size - 1)
        voiced = np.clip(np.round(values), 0, 255).astype(int) * speech[frames]
        return (
            SyncSeries(
                rate_hz=ENVELOPE_HZ, start_s=0.5 / ENVELOPE_HZ, values=tuple(voiced.tolist())
            ),
        )
