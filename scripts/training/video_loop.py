"""The training loop of the face network, and its scores on crops."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.video_crops import Crop
from training.video_data import SIDE_PX, views_of
from training.video_net import FaceNet

#: Blocks after the stem whose weights stay those of ImageNet.
FROZEN_BLOCKS = 3

Drawn = tuple[NDArray[np.uint8], NDArray[np.float32]]
Draw = Callable[[np.random.Generator], Drawn]


@dataclass(frozen=True)
class Batches(torch.utils.data.Dataset[Drawn]):
    """The batches of one run, each from a seed of its own, whoever draws it and when.

    Attributes:
        draw: Makes one batch.
        seed: Numbers that tell this run from others.
        steps: Number of batches.
    """

    draw: Draw
    seed: tuple[int, ...]
    steps: int

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.steps

    def __getitem__(self, step: int) -> Drawn:
        """Draw one batch."""
        return self.draw(np.random.default_rng([*self.seed, step]))


@dataclass(frozen=True)
class Machine:
    """What a network is trained on.

    Attributes:
        device: `cpu`, or `cuda`.
        workers: Processes that draw batches; 0 draws them in this one.
    """

    device: str = "cpu"
    workers: int = 0


def to_tensor(images: NDArray[np.uint8], device: torch.device | str = "cpu") -> torch.Tensor:
    """Turn BGR squares (n, side, side, 3) into the network's input."""
    bgr = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    rgb = bgr.permute(0, 3, 1, 2).flip(1)
    return ((rgb.float() - 127) / 128).to(memory_format=torch.channels_last)


def device_of(net: torch.nn.Module) -> torch.device:
    """Return where the weights of a network are."""
    return next(net.parameters()).device


def freeze_start(net: FaceNet) -> None:
    """Keep the start: edges and grain are the same everywhere, and it costs most."""
    for part in (net.stem, *list(net.blocks)[:FROZEN_BLOCKS]):
        for parameter in part.parameters():
            parameter.requires_grad_(False)


def _learns(name: str, parameter: torch.nn.Parameter) -> bool:
    return parameter.requires_grad and not name.startswith("classify")


def train(
    net: FaceNet,
    batches: Batches,
    machine: Machine,
    *,
    rate: float,
    average_from: float = 0.5,
) -> FaceNet:
    """Train with AdamW, warm-up and cosine decay; return the average of the weights, on the CPU.

    Args:
        net: Network to train, changed in place.
        batches: What it learns from, in order.
        machine: Where.
        rate: Largest learning rate; the new last layer learns ten times as fast.
        average_from: Share of the run after which weights are averaged.
    """
    steps = len(batches)
    freeze_start(net.to(machine.device, memory_format=torch.channels_last))
    body = [p for name, p in net.named_parameters() if _learns(name, p)]
    groups = [{"params": body, "lr": rate}, {"params": net.classify.parameters(), "lr": 10 * rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / warm) * (0.525 + 0.475 * np.cos(np.pi * step / steps)),
    )
    net.train()
    averaged = copy.deepcopy(net)
    taken, began, running = 0, time.perf_counter(), 0.7
    loader = torch.utils.data.DataLoader(
        batches, batch_size=None, num_workers=machine.workers, collate_fn=_as_they_are
    )
    for step, (images, labels) in enumerate(loader):
        logits = net(to_tensor(images, machine.device))
        target = torch.from_numpy(labels * 0.94 + 0.03).to(machine.device)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        if step >= average_from * steps:
            taken += 1
            with torch.no_grad():
                means, now = list(averaged.parameters()), list(net.parameters())
                torch._foreach_lerp_(means, now, 1 / taken)
        if step % 50 == 49:
            running += 0.5 * (float(loss.detach()) - running)
            spent_s = time.perf_counter() - began
            print(f"step {step + 1} loss {running:.3f} {spent_s:.0f} s", flush=True)
    return averaged.cpu().eval()


def _as_they_are(drawn: Drawn) -> Drawn:
    return drawn


def score(net: torch.nn.Module, crops: list[Crop], side_px: int = SIDE_PX) -> NDArray[np.float32]:
    """Return one logit a crop, averaged over its two squares."""
    squares = np.concatenate([views_of(crop, side_px) for crop in crops])
    with torch.no_grad():
        logits = net(to_tensor(squares, device_of(net))).cpu().numpy().astype(np.float32)
    return logits.reshape(-1, 2).mean(axis=1)
