"""What is kept of the sound besides the windows: loudness, tonality, clipping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.media import PCM_RATE

Samples = NDArray[np.float32]

#: Below this, sound counts as silence, in dB full scale.
SILENCE_DB = -60.0
#: Share of the non-silent pieces that must be tonal for the sound to count as music or tones.
MUSIC_SHARE = 0.6
#: Spectral flatness (geometric over arithmetic mean, in dB) below which a piece is tonal.
TONAL_DB = -22.0
#: Samples of one piece whose spectrum is looked at (64 ms), one each half second.
_PIECE = 1024
_PIECE_HOP = PCM_RATE // 2
_TINY = 1e-10


@dataclass
class SoundSummary:
    """Running figures of one recording.

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

    def add(self, block: Samples) -> None:
        """Take in the next block of PCM."""
        self.samples += block.size
        self.clipped += int((np.abs(block) >= 0.999).sum())  # noqa: PLR2004  # full scale
        self._power += float(np.square(block, dtype=np.float64).sum())
        self._look_at_spectrum(block)

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
