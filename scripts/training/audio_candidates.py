"""Networks of the field, small, to compare the shipped voice detector with on the same split.

Each has the layout of a publication in code of our own, with fewer channels, so that a processor
trains it in minutes: (batch, samples) to one score a row, higher for synthetic speech.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from audio_nets import RATE, Level, Spectrum, linear_matrix, mel_matrix
from torch import Tensor, nn
from torch.nn import functional

_SIZE, _FRAME, _HOP, _TOP_HZ = 512, 400, 160, 7600.0
#: Part of bands and of frames that one mask hides while a network learns.
_MASKED = 0.2


class Planes(nn.Module):
    """Log powers or cepstra as a picture (batch, 1, rows, frames), each row without its mean."""

    def __init__(self, bands: Tensor, cepstra: int = 0) -> None:
        super().__init__()
        self.level, self.powers = Level(), Spectrum(bands, _SIZE, _FRAME, _HOP)
        turns = torch.arange(len(bands)) + 0.5
        cosines = torch.cos(torch.pi / len(bands) * torch.arange(cepstra)[:, None] * turns)
        self.register_buffer("cosines", cosines, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the picture; while the network learns, one band of rows and one time is hidden."""
        rows = (self.powers(self.level(samples)) + 1e-6).log()
        if len(self.cosines):
            rows = torch.matmul(self.cosines, rows) / len(self.cosines)
        rows = rows - rows.mean(2, keepdim=True)
        if self.training:
            rows = _hide(_hide(rows, 1), 2)
        return rows[:, None]


def _hide(rows: Tensor, axis: int) -> Tensor:
    length = rows.shape[axis]
    width = int(torch.randint(1, int(length * _MASKED) + 1, ()))
    start = int(torch.randint(0, length - width, ()))
    shown = torch.ones(length)
    shown[start : start + width] = 0
    return rows * (shown[:, None] if axis == 1 else shown)


class Pooling(nn.Module):
    """Attentive statistics: (batch, channels, frames) to (batch, 2 * channels)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attend = nn.Sequential(
            nn.Conv1d(channels, 32, 1), nn.Tanh(), nn.Conv1d(32, channels, 1), nn.Softmax(2)
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Return weighted means and deviations."""
        weights = self.attend(rows)
        mean = (rows * weights).sum(2)
        spread = ((rows.square() * weights).sum(2) - mean.square()).clamp(min=1e-5).sqrt()
        return torch.cat([mean, spread], 1)


class _MaxFeature(nn.Module):
    """A convolution whose channels compete in pairs."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(inputs, 2 * outputs, kernel, padding=kernel // 2)

    def forward(self, planes: Tensor) -> Tensor:
        first, second = self.layer(planes).chunk(2, dim=1)
        return torch.maximum(first, second)


class LightCnn(nn.Module):
    """LFCC and a light CNN of max feature maps (Lavrentyeva et al., Interspeech 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.planes = Planes(linear_matrix(60, _SIZE, _TOP_HZ), 60)
        widths = (1, 16, 24, 32, 32)
        layers: list[nn.Module] = []
        for before, width in pairwise(widths):
            layers += [_MaxFeature(before, width, 3 if layers else 5), nn.MaxPool2d(2)]
            layers += [_MaxFeature(width, width, 1), nn.BatchNorm2d(width)]
        self.layers, self.pool = nn.Sequential(*layers), Pooling(widths[-1] * 3)
        self.out = nn.Sequential(nn.Dropout(0.5), nn.Linear(widths[-1] * 6, 1))

    def forward(self, samples: Tensor) -> Tensor:
        """Return one score a row."""
        score: Tensor = self.out(self.pool(self.layers(self.planes(samples)).flatten(1, 2)))
        return score[:, 0]


class _Residual(nn.Module):
    """Two convolutions beside a shortcut; the size is halved."""

    def __init__(self, inputs: int, outputs: int, stride: int | tuple[int, int] = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.SELU(),
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1),
            nn.BatchNorm2d(outputs),
            nn.SELU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.short = nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, planes: Tensor) -> Tensor:
        both: Tensor = self.body(planes) + self.short(planes)
        return both


class MelResNet(nn.Module):
    """Log-mel bands and a residual CNN with attentive statistics pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.planes = Planes(mel_matrix(64, _SIZE, 20.0, _TOP_HZ))
        self.layers = nn.Sequential(
            nn.Conv2d(1, 24, 5, stride=2, padding=2),
            _Residual(24, 40),
            _Residual(40, 64),
            _Residual(64, 80),
        )
        self.pool = Pooling(80 * 4)
        self.out = nn.Sequential(nn.Dropout(0.5), nn.Linear(80 * 8, 1))

    def forward(self, samples: Tensor) -> Tensor:
        """Return one score a row."""
        score: Tensor = self.out(self.pool(self.layers(self.planes(samples)).flatten(1, 2)))
        return score[:, 0]


class SpecRnn(nn.Module):
    """LFCC, residual blocks and recurrent layers (SpecRNet: Kawa et al., arXiv 2210.06105)."""

    def __init__(self) -> None:
        super().__init__()
        self.planes = Planes(linear_matrix(80, _SIZE, _TOP_HZ), 80)
        self.layers = nn.Sequential(
            _Residual(1, 20), nn.MaxPool2d((2, 1)), _Residual(20, 40), _Residual(40, 64, (2, 1))
        )
        self.rows = nn.GRU(64 * 5, 64, num_layers=2, bidirectional=True, batch_first=True)
        self.out = nn.Linear(128, 1)

    def forward(self, samples: Tensor) -> Tensor:
        """Return one score a row."""
        rows, _ = self.rows(self.layers(self.planes(samples)).flatten(1, 2).transpose(1, 2))
        score: Tensor = self.out(rows.mean(1))
        return score[:, 0]


class _Graph(nn.Module):
    """Attention among the nodes of a full graph, by the products of their pairs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pair, self.weigh = nn.Linear(inputs, outputs), nn.Linear(outputs, 1)
        self.mixed, self.own = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, nodes: Tensor) -> Tensor:
        pairs = torch.tanh(self.pair(nodes[:, :, None] * nodes[:, None]))
        weights = functional.softmax(self.weigh(pairs)[..., 0], dim=2)
        found = self.mixed(torch.matmul(weights, nodes)) + self.own(nodes)
        return functional.selu(self.norm(found.transpose(1, 2)).transpose(1, 2))


class RawGraph(nn.Module):
    """Sinc filters on the waveform and graph attention (AASIST: Jung et al., ICASSP 2022).

    One branch of graphs over frequencies, one over times, one over both; without the stack nodes
    and the second branch of the publication.
    """

    FILTERS, TAPS = 48, 129

    def __init__(self) -> None:
        super().__init__()
        self.level = Level()
        edges = torch.linspace(40, _TOP_HZ, self.FILTERS + 1)
        time = (torch.arange(self.TAPS) - self.TAPS // 2) / RATE
        low, high = edges[:-1, None], edges[1:, None]
        sinc = 2 * high * torch.sinc(2 * high * time) - 2 * low * torch.sinc(2 * low * time)
        kernels = (sinc * torch.hamming_window(self.TAPS) / RATE)[:, None]
        self.register_buffer("kernels", kernels, persistent=False)
        self.first = nn.Sequential(nn.MaxPool2d((3, 6)), nn.BatchNorm2d(1), nn.SELU())
        self.layers = nn.Sequential(
            *(_Residual(1, 16, 1), nn.MaxPool2d((1, 6)), _Residual(16, 32, (1, 3))),
            *(_Residual(32, 32, (1, 3)), _Residual(32, 48, (1, 2))),
        )
        self.places = nn.Parameter(torch.zeros(1, self.FILTERS // 3, 48))
        self.bands, self.times, self.both = _Graph(48, 48), _Graph(48, 48), _Graph(48, 32)
        self.out = nn.Sequential(nn.Dropout(0.5), nn.Linear(64, 1))

    def forward(self, samples: Tensor) -> Tensor:
        """Return one score a row."""
        heard = functional.conv1d(self.level(samples)[:, None], self.kernels, stride=3).abs()
        planes = self.layers(self.first(heard[:, None]))
        bands = self.bands(planes.amax(3).transpose(1, 2) + self.places)
        times = self.times(planes.amax(2).transpose(1, 2))
        nodes = self.both(torch.cat([bands, times], 1))
        score: Tensor = self.out(torch.cat([nodes.amax(1), nodes.mean(1)], 1))
        return score[:, 0]


#: What is compared, and for how many batches each learns: about five minutes of one core.
CANDIDATES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "LFCC and light CNN": (LightCnn, 350),
    "log-mel ResNet": (MelResNet, 850),
    "SpecRNet-type": (SpecRnn, 580),
    "AASIST-type": (RawGraph, 115),
}
