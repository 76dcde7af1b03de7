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


class _Same(nn.Module):
    """Zero padding as TensorFlow lays it: the odd pixel goes to the right and the bottom."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        total = kernel - stride
        before = total // 2
        self.pads = (before, total - before, before, total - before)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, self.pads)


def _conv(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Module:
    if stride == 1:
        return nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, groups=groups, bias=False)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Sequential(_Same(kernel, stride), conv)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class _Block(nn.Module):
    """Inverted residual without squeeze-and-excitation."""

    def __init__(self, inputs: int, outputs: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expand
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [_conv(inputs, inner, 1, 1), _norm(inner), nn.ReLU6()]
        layers += [_conv(inner, inner, kernel, stride, inner), _norm(inner), nn.ReLU6()]
        layers += [_conv(inner, outputs, 1, 1), _norm(outputs)]
        self.layers = nn.Sequential(*layers)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.skip else y


class FaceNet(nn.Module):
    """EfficientNet-Lite0 cut after `stages` stages, average pooling, one logit.

    Input: float32 (n, 3, side, side), RGB, (value - 127) / 128. Output: (n,), higher is fake.
    """

    def __init__(self, stages: int = 7, dropout: float = 0.3) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, STEM, 3, 2), _norm(STEM), nn.ReLU6())
        blocks: list[nn.Module] = []
        channels = STEM
        for expand, outputs, repeats, stride, kernel in STAGES[:stages]:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(_Block(channels, outputs, expand, kernel, step))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head: nn.Module = nn.Identity()
        if stages == len(STAGES):
            self.head = nn.Sequential(_conv(channels, HEAD, 1, 1), _norm(HEAD), nn.ReLU6())
            channels = HEAD
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(channels, 1)
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
        """Copy the ImageNet weights in order; names differ, shapes must not."""
        state = torch.load(weights, map_location="cpu", weights_only=True)
        source = [value for name, value in state.items() if not name.startswith("_fc")]
        target = [v for name, v in self.state_dict().items() if not name.startswith("classify")]
        if isinstance(self.head, nn.Identity):
            source = source[: len(target)]
        for here, there in zip(target, source, strict=True):
            if here.shape != there.shape:
                raise ValueError(f"weights do not fit: {tuple(here.shape)}, {tuple(there.shape)}")
            here.copy_(there)
