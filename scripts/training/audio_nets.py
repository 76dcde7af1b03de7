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


def linear_matrix(bands: int, size: int, top_hz: float, rate: int = RATE) -> Tensor:
    """Return triangular filters (bands, size // 2 + 1) of equal width up to `top_hz`."""
    edges = np.linspace(0, top_hz, bands + 2)
    bins = np.linspace(0, rate / 2, size // 2 + 1)
    width = edges[1]
    return torch.tensor(
        np.maximum(0, 1 - np.abs(bins - edges[1:-1, None]) / width), dtype=torch.float32
    )


class Fourier(nn.Module):
    """Short-time Fourier transform of centred Hann frames.

    From (batch, samples) to real and imaginary parts, both (batch, frames, bins), with phases
    counted from the middles of frames. What lies as far before the middle as behind it meets the
    same cosine, and the same sine with the other sign: sums and differences of both are half as
    long as a frame.
    """

    def __init__(self, used: Tensor, size: int, frame: int, hop: int) -> None:
        """Take which of the `size // 2 + 1` bins are used, and sizes in samples."""
        super().__init__()
        self.half, self.frames, self.bins = frame // 2, WINDOW // hop + 1, int(used.sum())
        away = np.arange(self.half)  # from the middle
        taper = 0.5 + 0.5 * np.cos(2 * np.pi * away / frame)
        taper[0] /= 2  # the middle is there twice
        phase = 2 * np.pi * np.outer(away, np.flatnonzero(used)) / size
        self.block = math.gcd(self.half, hop)  # halves of frames are put together from blocks
        first = np.arange(self.frames)[:, None] * (hop // self.block)
        ahead = first + np.arange(self.half // self.block)
        for name, values in (
            ("cosines", (np.cos(phase) * taper[:, None]).astype(np.float32)),
            ("sines", (-np.sin(phase) * taper[:, None]).astype(np.float32)),
            ("ahead", ahead.ravel()),
            ("behind", ahead[::-1].ravel()),
        ):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary parts, frames centred every `hop` samples."""
        ahead = self._halves(samples, self.half, self.ahead)
        behind = self._halves(samples.flip(1), self.half - 1, self.behind)
        return torch.matmul(ahead + behind, self.cosines), torch.matmul(ahead - behind, self.sines)

    def _halves(self, samples: Tensor, first: int, blocks: Tensor) -> Tensor:
        """Cut halves of frames, (batch, frames, half), from the `first` padded sample on."""
        length = samples.shape[1] + self.half
        padded = functional.pad(samples[:, None], (self.half, self.half), mode="reflect")[:, 0]
        cut = padded[:, first : first + length].reshape(-1, length // self.block, self.block)
        return cut.index_select(1, blocks).reshape(-1, self.frames, self.half)


class Spectrum(nn.Module):
    """Power spectrum through fixed filters: (batch, samples) to (batch, bands, frames)."""

    def __init__(self, filters: Tensor, size: int, frame: int, hop: int) -> None:
        super().__init__()
        used = filters.any(0)
        self.fourier = Fourier(used, size, frame, hop)
        self.register_buffer("filters", filters[:, used], persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return band powers, frames centred every `hop` samples."""
        return self.of_power(power(*self.fourier(samples)))

    def of_power(self, lines: Tensor) -> Tensor:
        """Return band powers of the lines of a transform."""
        return torch.matmul(self.filters, lines.transpose(1, 2))


def power(real: Tensor, imaginary: Tensor) -> Tensor:
    """Return the power of the lines of a transform."""
    return real.square() + imaginary.square()


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
        self.asked, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        middle = self.attend(hidden)
        return middle + self.down(self.widen(middle))

    def attend(self, hidden: Tensor) -> Tensor:
        """Add what each frame takes from all others."""
        _, length, width = hidden.shape
        normed, size = self.norm1(hidden), width // self.heads
        query, key, value = (
            layer(normed).view(-1, length, self.heads, size).transpose(1, 2)
            for layer in (self.asked, self.key, self.value)
        )
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(size)
        context = torch.matmul(scores.softmax(-1), value)
        return hidden + self.out(context.transpose(1, 2).reshape(-1, length, width))

    def widen(self, hidden: Tensor) -> Tensor:
        """Return what the last product of the layer takes."""
        return functional.gelu(self.up(self.norm2(hidden)))


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
            pairs.append((f"{at}/linear_1", block.out))
            pairs += [(f"{ff}/linear_0", block.up), (f"{ff}/linear_1", block.down)]
            for name, norm in ((at, block.norm1), (ff, block.norm2)):
                norm.weight.data = get(f"{name}/layer_norm/gamma")
                norm.bias.data = get(f"{name}/layer_norm/beta")
            for kind in ("weight", "bias"):
                thirds = get(f"{at}/linear_0/{kind}").chunk(3)
                for layer, third in zip((block.asked, block.key, block.value), thirds, strict=True):
                    getattr(layer, kind).data = third
        for name, layer in pairs:
            layer.weight.data, layer.bias.data = get(f"{name}/weight"), get(f"{name}/bias")

    def log_mel(self, samples: Tensor) -> Tensor:
        """Return Whisper's clipped log-mel (batch, 80, frames), 100 frames a second."""
        power = self.mel(samples)[:, :, :-1]
        logs = torch.clamp(power, min=1e-10).log10()
        top = logs.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(logs, top - 8.0) + 4.0) / 4.0

    def forward(self, samples: Tensor) -> Tensor:
        """Return means of the hidden states before and after every layer.

        Of shape (batch, halves of the window, states, width). The last product of the last layer
        is linear, so it takes means.
        """
        hidden = functional.gelu(self.conv1(self.log_mel(samples)))
        hidden = functional.gelu(self.conv2(hidden)).transpose(1, 2) + self.positions
        means = [_by_half(hidden)]
        *blocks, last = self.blocks
        for block in blocks:
            hidden = block(hidden)
            means.append(_by_half(hidden))
        hidden = last.attend(hidden)
        means.append(_by_half(hidden) + last.down(_by_half(last.widen(hidden))))
        return torch.stack(means, dim=2)


def _by_half(hidden: Tensor) -> Tensor:
    """Return the means (batch, 2, width) of the first and second half of (batch, frames, width)."""
    _, frames, width = hidden.shape
    return hidden.reshape(-1, 2, frames // 2, width).mean(2)


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
        return self.encoder(self.level(samples)).flatten(2)
