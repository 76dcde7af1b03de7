"""The statistics of a window that the trees judge by: bands, cepstra and phases over time."""

from __future__ import annotations

import math

import numpy as np
import torch
from audio_nets import Fourier, Level, Spectrum, linear_matrix, power
from torch import Tensor, nn


class Statistics(nn.Module):
    """How bands, cepstra and phases of a window are spread over time, for the trees.

    Bands are power in `BANDS` triangles up to 7.6 kHz, as logarithms; cepstra their cosine
    transform (LFCC). Of cepstra: mean, deviation, skewness, deviation of first and second
    differences, and how far a frame goes with the one `LAGS` frames later (autocorrelation); of
    bands: mean and deviation, and deviation of the differences. Of `FINE_BANDS` wider bands every
    2 ms, short enough to see single periods of a voice: deviation, skewness and kurtosis of the
    logarithms and of their differences, autocorrelation, and correlation of neighbours. Of two
    transforms, every 5 and every 2.5 ms: how steadily phases advance.
    """

    BANDS, CEPSTRA, TOP_HZ = 48, 32, 7_600.0
    #: In frames of 10 ms.
    LAGS = (1, 2, 4, 8)
    FINE_BANDS = 20
    #: In frames of 2 ms.
    FINE_LAGS = (1, 2, 3, 4, 6, 8)
    #: Groups of bins in which phases are looked at, in long and in short frames.
    PHASES, SHORT_PHASES = 24, 20

    def __init__(self) -> None:
        super().__init__()
        size, frame, hop, short = 512, 400, 80, 200
        self.level = Level()
        self.bands = Spectrum(linear_matrix(self.BANDS, size, self.TOP_HZ), size, frame, hop)
        self.fine = Spectrum(linear_matrix(self.FINE_BANDS, 128, self.TOP_HZ), 128, 128, 32)
        self.phases = Steadiness(self.bands.fourier.bins, self.PHASES)
        used = linear_matrix(self.BANDS, short, self.TOP_HZ).any(0)
        self.short = Fourier(used, short, short, hop // 2)
        self.short_phases = Steadiness(self.short.bins, self.SHORT_PHASES)
        angle = np.pi * np.outer(np.arange(self.CEPSTRA), np.arange(self.BANDS) + 0.5) / self.BANDS
        cosines = torch.tensor(np.cos(angle) * math.sqrt(2 / self.BANDS), dtype=torch.float32)
        self.register_buffer("cosines", cosines, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return (batch, figures) of windows (batch, samples)."""
        loud = self.level(samples) * 20
        real, imaginary = self.bands.fourier(loud)
        lines = power(real, imaginary)
        bands = (self.bands.of_power(lines)[:, :, ::2] + 1e-4).log()
        cepstra = torch.matmul(self.cosines, bands)
        change = _change(cepstra)
        spread = _Spread(cepstra)
        fine = (self.fine(loud) + 1e-5).log()
        whole, steps = _Spread(fine), _Spread(_change(fine))
        short = self.short(loud)
        return torch.cat(
            [
                *(cepstra.mean(2), spread.deviation, spread.skewness()),
                *(_Spread(change).deviation, _Spread(_change(change)).deviation),
                *(bands.mean(2), _Spread(bands).deviation, _Spread(_change(bands)).deviation),
                *(spread.along(lag) for lag in self.LAGS),
                *(whole.deviation, whole.skewness(), whole.kurtosis()),
                *(steps.deviation, steps.skewness(), steps.kurtosis()),
                *(whole.along(lag) for lag in self.FINE_LAGS),
                *(whole.across(), steps.across()),
                *self.phases(real, imaginary, lines),
                *self.short_phases(*short, power(*short)),
            ],
            dim=1,
        )


class Steadiness(nn.Module):
    """How steadily the phases of a transform advance, by groups of bins.

    The phases of converted and synthetic speech are made up and differ from natural ones (Wu, Chng
    and Li, "Detecting converted speech and natural speech for anti-spoofing attack in speaker
    recognition", Interspeech 2012). A steady tone has a cosine of 1 here, noise one near 0.
    """

    def __init__(self, bins: int, groups: int) -> None:
        super().__init__()
        for name, count in (("over_time", bins), ("over_bins", bins - 1)):
            owner = np.arange(count) * groups // count
            mean = (owner == np.arange(groups)[:, None]) / np.bincount(owner)[:, None]
            self.register_buffer(name, torch.tensor(mean, dtype=torch.float32), persistent=False)

    def forward(self, real: Tensor, imaginary: Tensor, lines: Tensor) -> tuple[Tensor, Tensor]:
        """Take a transform (batch, frames, bins) and its power; return (batch, groups) twice.

        The mean cosine of the second difference of phase over time, and of its mixed difference
        over time and bins.
        """
        size = lines.sqrt() + 1e-5
        x, y = real / size, imaginary / size
        # what each bin turns by from one frame to the next
        cosine = x[:, 1:] * x[:, :-1] + y[:, 1:] * y[:, :-1]
        sine = y[:, 1:] * x[:, :-1] - x[:, 1:] * y[:, :-1]
        bend = cosine[:, 1:] * cosine[:, :-1] + sine[:, 1:] * sine[:, :-1]
        lean = cosine[:, :, 1:] * cosine[:, :, :-1] + sine[:, :, 1:] * sine[:, :, :-1]
        return (
            torch.matmul(bend.mean(1), self.over_time.T),
            torch.matmul(lean.mean(1), self.over_bins.T),
        )


class _Spread:
    """Moments and correlations over time of series (batch, series, frames)."""

    def __init__(self, values: Tensor) -> None:
        self.centred = values - values.mean(2, keepdim=True)
        self.deviation = (self.centred.square().mean(2) + 1e-10).sqrt()

    def skewness(self) -> Tensor:
        cube = self.centred * self.centred * self.centred
        return cube.mean(2) / (self.deviation * self.deviation * self.deviation + 1e-6)

    def kurtosis(self) -> Tensor:
        square, power = self.centred.square(), self.deviation.square()
        return (square * square).mean(2) / (power * power + 1e-6)

    def along(self, lag: int) -> Tensor:
        """Return the correlation of each series with itself `lag` frames later."""
        product = self.centred[:, :, lag:] * self.centred[:, :, :-lag]
        return product.mean(2) / (self.deviation.square() + 1e-6)

    def across(self) -> Tensor:
        """Return the correlation of each series with the next."""
        product = (self.centred[:, 1:] * self.centred[:, :-1]).mean(2)
        return product / (self.deviation[:, 1:] * self.deviation[:, :-1] + 1e-6)


def _change(values: Tensor) -> Tensor:
    """Return the differences of successive frames."""
    return values[:, :, 1:] - values[:, :, :-1]
