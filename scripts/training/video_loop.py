"""The training loop of the face network, and its scores on crops."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from training.video_crops import Crop
from training.video_data import SIDE_PX, frame_face
from training.video_net import FaceNet

#: Blocks after the stem whose weights stay those of ImageNet.
FROZEN_BLOCKS = 3

Batch = Callable[[], tuple[NDArray[np.uint8], NDArray[np.float32]]]


def to_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """Turn BGR squares (n, side, side, 3) into the network's input."""
    rgb = np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2)).astype(np.float32)
    return torch.from_numpy((rgb - 127) / 128).to(memory_format=torch.channels_last)


def freeze_start(net: FaceNet) -> None:
    """Keep the start: edges and grain are the same everywhere, and it costs most."""
    for part in (net.stem, *list(net.blocks)[:FROZEN_BLOCKS]):
        for parameter in part.parameters():
            parameter.requires_grad_(False)


def _learns(name: str, parameter: torch.nn.Parameter) -> bool:
    return parameter.requires_grad and not name.startswith("classify")


def train(
    net: FaceNet, draw: Batch, steps: int, *, rate: float, average_from: float = 0.5
) -> FaceNet:
    """Train with AdamW, warm-up and cosine decay; return the average of the weights.

    Args:
        net: Network to train, changed in place.
        draw: Makes one batch.
        steps: Number of batches.
        rate: Largest learning rate; the new last layer learns ten times as fast.
        average_from: Share of the run after which weights are averaged.
    """
    freeze_start(net)
    body = [p for name, p in net.named_parameters() if _learns(name, p)]
    groups = [{"params": body, "lr": rate}, {"params": net.classify.parameters(), "lr": 10 * rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / warm) * (0.525 + 0.475 * np.cos(np.pi * step / steps)),
    )
    net.to(memory_format=torch.channels_last)
    net.train()
    averaged = copy.deepcopy(net)
    taken, began, running = 0, time.perf_counter(), 0.7
    for step in range(steps):
        images, labels = draw()
        logits = net(to_tensor(images))
        target = torch.from_numpy(labels * 0.94 + 0.03)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        running += 0.05 * (float(loss.detach()) - running)
        if step >= average_from * steps:
            taken += 1
            with torch.no_grad():
                for mean, now in zip(averaged.parameters(), net.parameters(), strict=True):
                    mean.lerp_(now, 1 / taken)
        if step % 50 == 49:
            spent_s = time.perf_counter() - began
            print(f"step {step + 1} loss {running:.3f} {spent_s:.0f} s", flush=True)
    return averaged.eval()


def score(net: torch.nn.Module, crops: list[Crop], side_px: int = SIDE_PX) -> NDArray[np.float32]:
    """Return one logit a crop; a crop and its mirror image are averaged."""
    squares = np.stack([frame_face(crop.image, crop.size, None, side_px) for crop in crops])
    with torch.no_grad():
        plain = net(to_tensor(squares))
        mirrored = net(to_tensor(squares[:, :, ::-1]))
    return ((plain + mirrored) / 2).numpy().astype(np.float32)
