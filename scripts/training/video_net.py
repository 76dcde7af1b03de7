"""The face network: EfficientNet-Lite0 with TensorFlow padding and one logit."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

#: Expansion, channels, repeats, stride, kernel of each stage (EfficientNet-Lite0, TensorFlow TPU).
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM, HEAD = 32, 1280
NORM_EPSILON = 1e-3


def same_pads(kernel: int, stride: int) -> tuple[int, int]:
    """Return zeros before and after, as TensorFlow lays them: the odd one goes behind."""
    total = kernel - stride
    return total // 2, total - total // 2


class _Same(nn.Module):
    """Zero padding of `same_pads` on both axes."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.pads = same_pads(kernel, stride) * 2

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, self.pads)


def _conv(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Module:
    if stride == 1:
        return nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, groups=groups)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)
    return nn.Sequential(_Same(kernel, stride), conv)


class _Block(nn.Module):
    """Inverted residual without squeeze-and-excitation."""

    def __init__(self, inputs: int, outputs: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expand
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [_conv(inputs, inner, 1, 1), nn.ReLU6(inplace=True)]
        layers += [_conv(inner, inner, kernel, stride, inner), nn.ReLU6(inplace=True)]
        layers += [_conv(inner, outputs, 1, 1)]
        self.layers = nn.Sequential(*layers)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.skip else y


class FaceNet(nn.Module):
    """EfficientNet-Lite0, average pooling, one logit.

    Batch normalisation is folded into the convolutions: the set is too small to estimate
    statistics of its own, and a third of the time of a training step went there.

    Input: float32 (n, 3, side, side), RGB, (value - 127) / 128. Output: (n,), higher is fake.
    """

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, STEM, 3, 2), nn.ReLU6(inplace=True))
        blocks: list[nn.Module] = []
        channels = STEM
        for expand, outputs, repeats, stride, kernel in STAGES:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(_Block(channels, outputs, expand, kernel, step))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(_conv(channels, HEAD, 1, 1), nn.ReLU6(inplace=True))
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(HEAD, 1)
        nn.init.zeros_(self.classify.weight)  # all networks start alike, so weights can be averaged
        nn.init.zeros_(self.classify.bias)

    def features(self, x: Tensor) -> Tensor:
        """Return the pooled features, shape (n, channels)."""
        pooled: Tensor = self.head(self.blocks(self.stem(x))).mean(dim=(2, 3))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit a face, shape (n,)."""
        logits: Tensor = self.classify(self.dropout(self.features(x)))
        return logits[:, 0]

    def start_from_imagenet(self, weights: Path) -> None:
        """Copy the ImageNet weights in order, folding each normalisation into its convolution."""
        state = torch.load(weights, map_location="cpu", weights_only=True)
        kept = [
            value
            for name, value in state.items()
            if not name.startswith("_fc") and not name.endswith("num_batches_tracked")
        ]
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        for place, conv in enumerate(convolutions):
            weight, gain, shift, mean, variance = kept[5 * place : 5 * place + 5]
            if weight.shape != conv.weight.shape or conv.bias is None:
                raise ValueError(f"weights do not fit: {weight.shape}, {conv.weight.shape}")
            factor = gain / torch.sqrt(variance + NORM_EPSILON)
            with torch.no_grad():
                conv.weight.copy_(weight * factor[:, None, None, None])
                conv.bias.copy_(shift - mean * factor)
        if len(kept) != 5 * len(convolutions):
            raise ValueError("there are more weights than the network has layers")
