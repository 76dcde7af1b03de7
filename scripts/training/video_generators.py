"""Small generators of our own: autoencoders whose traces stand for those of unseen generators.

A face that a network drew carries what its decoder does to fine detail, whatever it shows. Pictures
that an autoencoder merely redraws teach those traces without any published fake, and stay aligned
with their originals, so nothing else tells the two apart (after Rajan et al., On the effectiveness
of dataset alignment for fake image detection, 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from training.video_degrade import Image, Random
from training.video_loop import device_of, to_tensor

#: Ways of enlarging, channels of the narrowest layer, halvings: one generator each.
KINDS: tuple[tuple[str, int, int], ...] = (
    ("transposed", 16, 3),
    ("nearest", 16, 3),
    ("bilinear", 24, 3),
    ("shuffle", 16, 3),
    ("transposed", 8, 2),
    ("nearest", 6, 2),
)
PATCHES, PATCH_PX = 16, 96
#: Share of the steps after which a critic joins, as it does for most generators of faces.
CRITIC_FROM = 0.5
#: Sizes of face that generators work at, in pixels.
FACE_PX = (96, 128, 160, 192, 256, 256)
#: Errors coarser than this, in pixels, are taken back: small generators blur more than large ones.
CORRECTED_PX = (0.6, 1.6)
_WIDTH, _WIDEST, _LAST = 48, 96, 16


class _Enlarge(nn.Module):
    """Double the size, in one of the ways that generators use."""

    def __init__(self, inputs: int, outputs: int, way: str) -> None:
        super().__init__()
        self.way = way
        self.conv: nn.Module = (
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
            if way == "transposed"
            else nn.Conv2d(inputs, outputs * (4 if way == "shuffle" else 1), 3, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.way in ("nearest", "bilinear"):
            x = nn.functional.interpolate(x, scale_factor=2, mode=self.way)
        y: Tensor = self.conv(x)
        return nn.functional.pixel_shuffle(y, 2) if self.way == "shuffle" else y


def new_generator(way: str, latent: int, halvings: int) -> nn.Sequential:
    """Return an autoencoder for any size that is a multiple of 8."""
    bend = nn.LeakyReLU(0.1)
    layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(12, _WIDTH, 3, 1, 1), bend]
    channels = _WIDTH
    for _ in range(halvings - 1):
        layers += [nn.Conv2d(channels, _WIDEST, 4, 2, 1), bend]
        layers += [nn.Conv2d(_WIDEST, _WIDEST, 3, 1, 1), bend]
        channels = _WIDEST
    layers += [nn.Conv2d(channels, latent, 1), nn.Conv2d(latent, channels, 3, 1, 1), bend]
    layers += [nn.Conv2d(channels, channels, 3, 1, 1), bend]
    for _ in range(halvings - 1):
        layers += [_Enlarge(channels, _WIDTH, way), bend, nn.Conv2d(_WIDTH, _WIDTH, 3, 1, 1), bend]
        channels = _WIDTH
    layers += [_Enlarge(channels, _LAST, way), bend, nn.Conv2d(_LAST, 3, 3, 1, 1)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def _critic() -> nn.Sequential:
    bend = nn.LeakyReLU(0.2)
    layers = (
        *(nn.Conv2d(3, 32, 4, 2, 1), bend, nn.Conv2d(32, 64, 4, 2, 1), bend),
        *(nn.Conv2d(64, 128, 3, 1, 1), bend, nn.Conv2d(128, 1, 3, 1, 1)),
    )
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def _patches(images: Sequence[Image], rng: Random) -> Tensor:
    """Draw squares of several scales."""
    squares = []
    for _ in range(PATCHES):
        image = images[int(rng.integers(len(images)))]
        side = image.shape[0]
        scale = max((PATCH_PX + 1) / side, float(np.exp(rng.uniform(np.log(0.4), 0))))
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = (int(rng.integers(n - PATCH_PX + 1)) for n in small.shape[:2])
        squares.append(small[top : top + PATCH_PX, left : left + PATCH_PX])
    return to_tensor(np.stack(squares))


def _gap(made: Tensor, real: Tensor) -> Tensor:
    """Return the difference of values and of slopes."""
    down = (made.diff(dim=2) - real.diff(dim=2)).abs().mean()
    right = (made.diff(dim=3) - real.diff(dim=3)).abs().mean()
    return (made - real).abs().mean() + 0.5 * (down + right)


def fit_generator(
    number: int, images: Sequence[Image], steps: int, device: str = "cpu"
) -> nn.Sequential:
    """Train one generator on real pictures, in bfloat16; return it on the CPU.

    Args:
        number: Which of `KINDS`.
        images: BGR squares of at least 97 pixels.
        steps: Batches.
        device: `cpu`, or `cuda`.
    """
    torch.manual_seed(number)
    rng = np.random.default_rng([7, number])
    made_by, critic = new_generator(*KINDS[number]).to(device), _critic().to(device)
    draws = torch.optim.Adam(made_by.parameters(), 1e-3, betas=(0.8, 0.99))
    judges = torch.optim.Adam(critic.parameters(), 3e-4, betas=(0.5, 0.99))
    loss = torch.zeros(())
    for step in range(steps):
        real = _patches(images, rng).to(device)
        judged = step >= CRITIC_FROM * steps
        with torch.autocast(device, dtype=torch.bfloat16):
            made = made_by(real)
            loss = _gap(made.float(), real)
            if judged:
                loss = loss - 0.02 * critic(made).float().mean()
        draws.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(made_by.parameters(), 1.0)
        draws.step()
        if judged:
            _train_critic(critic, judges, real, made.detach())
    print(f"generator {number} {KINDS[number]} loss {float(loss.detach()):.3f}", flush=True)
    return made_by.cpu().eval()


def _train_critic(
    critic: nn.Module, judges: torch.optim.Optimizer, real: Tensor, made: Tensor
) -> None:
    with torch.autocast(real.device.type, dtype=torch.bfloat16):
        doubt = nn.functional.relu(1 - critic(real)).float().mean()
        doubt = doubt + nn.functional.relu(1 + critic(made)).float().mean()
    judges.zero_grad()
    doubt.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    judges.step()


@dataclass(frozen=True)
class Redrawer:
    """All generators, of which one is drawn for each picture."""

    generators: tuple[nn.Module, ...]

    def redraw(self, image: Image, face_px: float, rng: Random) -> Image:
        """Pass a square through a generator at the size that generators work at, and back.

        Args:
            image: BGR pixels of shape (side, side, 3).
            face_px: Longer side of the face box in it, in pixels.
            rng: Source of randomness.
        """
        side = image.shape[0]
        factor = min(1.0, float(rng.choice(FACE_PX)) * rng.uniform(0.85, 1.15) / face_px)
        inner = max(32, int(side * factor) // 8 * 8)
        small = cv2.resize(image, (inner, inner), interpolation=cv2.INTER_AREA)
        generator = self.generators[int(rng.integers(len(self.generators)))]
        inputs = to_tensor(np.asarray(small, dtype=np.uint8)[None], device_of(generator))
        with torch.no_grad(), torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            made = generator(inputs).float()
        pixels = made[0].cpu().numpy().transpose(1, 2, 0)[..., ::-1] * 128 + 127
        drawn = np.ascontiguousarray(pixels, dtype=np.float32)
        error = cv2.GaussianBlur(small - drawn, (0, 0), rng.uniform(*CORRECTED_PX))
        back = np.clip(np.round(drawn + error), 0, 255).astype(np.uint8)
        way = int(rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)))
        return np.asarray(cv2.resize(back, (side, side), interpolation=way), dtype=np.uint8)
