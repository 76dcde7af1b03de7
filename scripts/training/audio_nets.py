"""The front end: spectra and the first layers of a Whisper encoder, from samples on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

RATE = 16_000
#: Samples of one scored window (4 s).
WINDOW = 4 * RATE


def hann_fourier(size: int, frame: int) -> tuple[Tensor, Tensor]:
    """Return real and imaginary Fourier kernels (bins, 1, size) of a centred Hann frame."""
    window = np.zeros(size)
    left = (size - frame) // 2
    window[left : left + frame] = np.hanning(frame + 1)[:-1]
    phase = 2 * np.pi * np.outer(np.arange(size // 2 + 1), np.arange(size)) / size
    real, imaginary = np.cos(phase) * window, -np.sin(phase) * window
    return (
        torch.tensor(real[:, None], dtype=torch.float32),
        torch.tensor(imaginary[:, None], dtype=torch.float32),
    )


def mel_matrix(bands: int, size: int, low: float, high: float, rate: int = RATE) -> Tensor:
    """Return Slaney mel filters (bands, size // 2 + 1), each of unit area."""

    def to_mel(hz: Any) -> Any:
        hz = np.asarray(hz, dtype=np.float64)
        return np.where(
            hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1) / 1000) * 27 / np.log(6.4)
        )

    def to_hz(mel: Any) -> Any:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    edges = to_hz(np.linspace(to_mel(low), to_mel(high), bands + 2))
    bins = np.linspace(0, rate / 2, size // 2 + 1)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return torch.tensor(filters, dtype=torch.float32)


class Fourier(nn.Module):
    """Short-time Fourier transform: (batch, samples) to two of shape (batch, bins, frames)."""

    def __init__(self, used: Tensor, size: int, frame: int, hop: int) -> None:
        super().__init__()
        first = (size - frame) // 2  # samples outside the frame count for nothing
        kernels = [part[used, :, first : first + frame] for part in hann_fourier(size, frame)]
        self.register_buffer("kernels", torch.cat(kernels), persistent=False)
        self.bins, self.pad, self.hop = len(kernels[0]), size // 2 - first, hop

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary parts, frames centred every `hop` samples."""
        padded = functional.pad(samples[:, None], (self.pad, self.pad), mode="reflect")
        real, imaginary = functional.conv1d(padded, self.kernels, stride=self.hop).chunk(2, dim=1)
        return real, imaginary


class Spectrum(nn.Module):
    """Power spectrum through fixed filters: (batch, samples) to (batch, bands, frames)."""

    def __init__(self, filters: Tensor, size: int, frame: int, hop: int) -> None:
        super().__init__()
        used = filters.any(0)
        self.fourier = Fourier(used, size, frame, hop)
        self.register_buffer("filters", filters[:, used], persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return band powers, frames centred every `hop` samples."""
        return self.of_parts(*self.fourier(samples))

    def of_parts(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return band powers of a transform."""
        return torch.matmul(self.filters, real.square() + imaginary.square())


class Level(nn.Module):
    """Remove the mean and bring the root mean square to -26 dB full scale."""

    def forward(self, samples: Tensor) -> Tensor:
        """Normalise each row of (batch, samples)."""
        centred = samples - samples.mean(1, keepdim=True)
        rms = centred.square().mean(1, keepdim=True).sqrt()
        return centred * (10 ** (-26 / 20) / (rms + 1e-5))


class _Block(nn.Module):
    """One pre-norm transformer layer of the Whisper encoder."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        mixed = self.qkv(self.norm1(hidden)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(width // self.heads)
        context = torch.matmul(scores.softmax(-1), value)
        hidden = hidden + self.out(context.transpose(1, 2).reshape(batch, length, width))
        return hidden + self.down(functional.gelu(self.up(self.norm2(hidden))))


class Whisper(nn.Module):
    """The first layers of a Whisper encoder on windows of any length up to 30 s."""

    def __init__(self, weights: dict[str, Any], layers: int) -> None:
        super().__init__()
        get = lambda name: torch.tensor(weights["encoder/" + name].astype(np.float32))
        width = weights["encoder/conv1/weight"].shape[0]
        self.mel = Spectrum(mel_matrix(80, 400, 0, RATE / 2), 400, 400, 160)
        self.conv1 = nn.Conv1d(80, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(
            get("position_encodings/encodings")[: WINDOW // 320], requires_grad=False
        )
        self.blocks = nn.ModuleList(_Block(width, width // 64) for _ in range(layers))
        pairs = [("conv1", self.conv1), ("conv2", self.conv2)]
        for index, block in enumerate(self.blocks):
            at, ff = f"layer_{index}/self_attention", f"layer_{index}/ffn"
            pairs += [(f"{at}/linear_0", block.qkv), (f"{at}/linear_1", block.out)]
            pairs += [(f"{ff}/linear_0", block.up), (f"{ff}/linear_1", block.down)]
            for name, norm in ((at, block.norm1), (ff, block.norm2)):
                norm.weight.data = get(f"{name}/layer_norm/gamma")
                norm.bias.data = get(f"{name}/layer_norm/beta")
        for name, layer in pairs:
            layer.weight.data, layer.bias.data = get(f"{name}/weight"), get(f"{name}/bias")

    def log_mel(self, samples: Tensor) -> Tensor:
        """Return Whisper's clipped log-mel (batch, 80, frames), 100 frames a second."""
        power = self.mel(samples)[:, :, :-1]
        logs = torch.clamp(power, min=1e-10).log10()
        top = logs.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(logs, top - 8.0) + 4.0) / 4.0

    def forward(self, samples: Tensor) -> list[Tensor]:
        """Return the hidden states (batch, frames / 2, width) before and after every layer."""
        hidden = functional.gelu(self.conv1(self.log_mel(samples)))
        hidden = functional.gelu(self.conv2(hidden)).transpose(1, 2)
        hidden = hidden + self.positions[: hidden.shape[1]]
        states = [hidden]
        for block in self.blocks:
            states.append(block(states[-1]))
        return states


class FrontEnd(nn.Module):
    """The figures of a window: the mean over time of every hidden state of the encoder."""

    def __init__(self, weights: dict[str, Any], layers: int) -> None:
        super().__init__()
        self.level = Level()
        self.encoder = Whisper(weights, layers)

    def forward(self, samples: Tensor) -> Tensor:
        """Return (batch, figures) of windows (batch, samples)."""
        return self.halves(samples).mean(1)

    def halves(self, samples: Tensor) -> Tensor:
        """Return (batch, 2, figures): the same of both halves of each window."""
        states = torch.stack(self.encoder(self.level(samples)), dim=1)
        batch, layers, frames, width = states.shape
        means = states.reshape(batch, layers, 2, frames // 2, width).mean(3)
        return means.transpose(1, 2).reshape(batch, 2, layers * width)


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
        bands = (self.bands.of_parts(real[:, :, ::2], imaginary[:, :, ::2]) + 1e-4).log()
        cepstra = torch.matmul(self.cosines, bands)
        change = _change(cepstra)
        spread = _Spread(cepstra)
        fine = (self.fine(loud) + 1e-5).log()
        whole, steps = _Spread(fine), _Spread(_change(fine))
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
                *self.phases(real, imaginary),
                *self.short_phases(*self.short(loud)),
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

    def forward(self, real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
        """Return (batch, groups) twice.

        The mean cosine of the second difference of phase over time, and of its mixed difference
        over time and bins.
        """
        size = (real.square() + imaginary.square()).sqrt() + 1e-5
        x, y = real / size, imaginary / size
        # what each bin turns by from one frame to the next
        cosine = x[:, :, 1:] * x[:, :, :-1] + y[:, :, 1:] * y[:, :, :-1]
        sine = y[:, :, 1:] * x[:, :, :-1] - x[:, :, 1:] * y[:, :, :-1]
        bend = cosine[:, :, 1:] * cosine[:, :, :-1] + sine[:, :, 1:] * sine[:, :, :-1]
        lean = cosine[:, 1:] * cosine[:, :-1] + sine[:, 1:] * sine[:, :-1]
        return (
            torch.matmul(bend.mean(2), self.over_time.T),
            torch.matmul(lean.mean(2), self.over_bins.T),
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


def linear_matrix(bands: int, size: int, top_hz: float, rate: int = RATE) -> Tensor:
    """Return triangular filters (bands, size // 2 + 1) of equal width up to `top_hz`."""
    edges = np.linspace(0, top_hz, bands + 2)
    bins = np.linspace(0, rate / 2, size // 2 + 1)
    width = edges[1]
    return torch.tensor(
        np.maximum(0, 1 - np.abs(bins - edges[1:-1, None]) / width), dtype=torch.float32
    )
