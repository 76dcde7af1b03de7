"""A picture of the sound of a recording: time to the right, pitch upwards, loudness as tone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.media import PCM_RATE
from shared.records import Evidence, EvidenceRef

#: Kind and name of the picture among the evidence of the audio half.
KIND, NAME = "spectrogram", "spectrogram.jpg"
WIDTH, HEIGHT = 1000, 128
#: Highest pitch that is drawn, in Hz.
TOP_HZ = PCM_RATE // 2
#: Samples of one spectrum: 32 ms, 31 Hz a line.
_WINDOW = 512
#: Samples between two spectra at first: 8 ms.
_STEP = 128
#: Spectra of one column at most; columns of long recordings are averages of so many.
_MOST_A_COLUMN = 4
#: Loudness range that is drawn, in dB below the loudest.
_RANGE_DB = 80.0
#: Loudest spectral line, of a full tone's, below which a recording is silent.
_SILENT_DB = -80.0
#: The picture is to be looked at, not measured: speech takes about 20 kB of this.
MAX_BYTES = 40_000
#: Qualities of JPEG; the next one is tried where the picture is larger than that.
_QUALITIES = (50, 25, 10)
_TAPER = np.hanning(_WINDOW).astype(np.float32)


class Spectrogram:
    """Gathers the spectra of a stream in bounded memory and time, however long it gets.

    There are at most twice as many columns as the picture is wide; when they are full, neighbours
    are joined, and from then on each stands for twice the time.
    """

    def __init__(self) -> None:
        """Begin with no sound."""
        self.restart()

    def restart(self) -> None:
        """Forget what was gathered."""
        self._power = np.zeros((2 * WIDTH, _WINDOW // 2), np.float32)
        self._columns = 0
        self._step = _STEP
        self._a_column = 1
        self._rest = np.zeros(0, np.float32)
        self._samples = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Add mono PCM at 16 kHz, in blocks of any length."""
        self._samples += block.size
        self._rest = np.concatenate([self._rest, block])
        while (columns := self._ready()) > 0:
            if self._columns == len(self._power):
                self._join()
                continue
            columns = min(columns, len(self._power) - self._columns)
            count = columns * self._a_column
            starts = np.arange(count) * self._step
            frames = self._rest[starts[:, None] + np.arange(_WINDOW)]
            power = np.abs(np.fft.rfft(frames * _TAPER, axis=1)[:, 1:]) ** 2
            self._power[self._columns : self._columns + columns] = power.reshape(
                columns, self._a_column, -1
            ).mean(axis=1)
            self._columns += columns
            self._rest = self._rest[count * self._step :]

    def _ready(self) -> int:
        """Return how many whole columns the waiting samples make."""
        span = self._step * self._a_column
        beyond = max(0, _WINDOW - self._step)  # the last spectrum reaches into the next column
        return max(0, self._rest.size - beyond) // span

    def _join(self) -> None:
        """Make room: each pair of columns becomes one."""
        half = len(self._power) // 2
        self._power[:half] = (self._power[::2] + self._power[1::2]) / 2
        self._columns = half
        if self._a_column < _MOST_A_COLUMN:
            self._a_column *= 2
        else:
            self._step *= 2

    def evidence(self, duration_s: float | None) -> tuple[Evidence, ...]:
        """Return the picture as evidence from 0 to its end; nothing where there was no sound.

        Args:
            duration_s: Length of the recording; what is beyond the sound stays empty.
        """
        length_s = round(max(duration_s or 0.0, self._samples / PCM_RATE), 3)
        picture = self.draw(length_s)
        if picture is None:
            return ()
        ref = EvidenceRef(name=NAME, kind=KIND, start_s=0.0, end_s=length_s)
        return (Evidence(ref, picture),)

    def draw(self, length_s: float) -> bytes | None:
        """Draw dark on light as JPEG of 1000 x 128 pixels; None where there was no sound.

        Args:
            length_s: What the width stands for, in seconds.
        """
        power = self._power[: self._columns]
        full = (_TAPER.sum() / 2) ** 2
        decibels = 10 * np.log10(power.T[::-1] / full + 1e-12)
        if not power.size or decibels.max() < _SILENT_DB:
            return None
        tones = np.clip((decibels - decibels.max()) / _RANGE_DB + 1.0, 0.0, 1.0)
        heard_s = self._columns * self._step * self._a_column / PCM_RATE
        width = max(1, min(WIDTH, round(WIDTH * heard_s / length_s)))
        light = (255 * (1 - tones)).astype(np.uint8)
        picture = np.full((HEIGHT, WIDTH), 255, np.uint8)
        picture[:, :width] = cv2.resize(light, (width, HEIGHT), interpolation=cv2.INTER_AREA)
        tries = (_jpeg(picture, quality) for quality in _QUALITIES)
        return next((content for content in tries if len(content) <= MAX_BYTES), None)


def _jpeg(picture: NDArray[np.uint8], quality: int) -> bytes:
    done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return bytes(encoded)
