"""What simpler detectors reach on the same split: shortcuts, spectra, a MesoNet-type network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.video_calibrate import fit_logistic
from training.video_crops import Clip, Crop
from training.video_data import Recipe, Source, batch, frame_face
from training.video_folds import Fold
from training.video_loop import score, to_tensor
from workers import evaluation

Floats = NDArray[np.float64]
Crops = dict[str, list[Crop]]

#: Rings of the spectrum, and the ridge of the linear detectors.
RINGS = 24
RIDGE = 3.0
MESO_STEPS = 150


class Meso4(nn.Module):
    """The layout of Afchar et al., MesoNet, WIFS 2018: four small convolutions."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, kernel, pool in (
            (3, 8, 3, 2),
            (8, 8, 5, 2),
            (8, 16, 5, 2),
            (16, 16, 5, 4),
        ):
            layers += [
                nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
                nn.ReLU(),
                nn.BatchNorm2d(outputs),
                nn.MaxPool2d(pool),
            ]
        self.layers = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Dropout(0.5), nn.LazyLinear(16), nn.LeakyReLU(0.1), nn.Dropout(0.5), nn.Linear(16, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit a face, shape (n,)."""
        logits: Tensor = self.dense(self.layers(x).flatten(1))
        return logits[:, 0]


def shortcuts(clip: Clip) -> list[float]:
    """Return what says nothing about a face: size, rate, length, bits, sound."""
    row = clip.row
    duration = max(float(row["duration_s"]), 0.1)
    return [
        float(row["width"]),
        float(row["height"]),
        float(row["orig_fps"] or 25),
        duration,
        np.log(float(row["bytes"]) / duration),
        float(row["has_audio"]),
    ]


def spectrum(crops: list[Crop]) -> list[float]:
    """Return the mean log power of a clip's faces by ring of spatial frequency."""
    total = np.zeros(RINGS)
    for crop in crops:
        grey = frame_face(crop.image, crop.size, None).mean(axis=2)
        side = grey.shape[0]
        window = np.hanning(side)
        power = np.abs(np.fft.fft2((grey - grey.mean()) * np.outer(window, window))) ** 2
        rows, columns = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
        ring = np.minimum((np.hypot(rows, columns) * 2 * RINGS).astype(int), RINGS - 1)
        sums = np.bincount(ring.ravel(), np.log(power + 1).ravel(), RINGS)
        total += sums / np.bincount(ring.ravel(), minlength=RINGS)
    return list(total / len(crops))


def linear(fold: Fold, describe: Callable[[Clip], list[float]]) -> Floats:
    """Fit a regularised linear detector on the training clips; return scores of the test clips."""
    known = np.array([describe(clip) for clip in fold.train])
    asked = np.array([describe(clip) for clip in fold.test])
    fake = np.array([clip.fake for clip in fold.train])
    mean, spread = known.mean(axis=0), known.std(axis=0) + 1e-6
    known, asked = (known - mean) / spread, (asked - mean) / spread
    target = np.where(fake, 1 / fake.sum(), -1 / (~fake).sum()) * len(fake) / 2
    weights = np.linalg.solve(known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ target)
    slope, offset = fit_logistic(known @ weights, fake, np.ones(len(fake)))
    return np.asarray(slope * (asked @ weights) + offset)


def meso(fold: Fold, crops: Crops, seed: int) -> Floats:
    """Train the small network as the shipped one is trained; return scores of the test clips."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 100 + fold.number])
    video = Source(crops, [clip for clip in fold.train if not clip.fake], "group")
    fakes = Source(crops, [clip for clip in fold.train if clip.fake], "generator")
    net = Meso4()
    optimizer: torch.optim.Optimizer | None = None
    for _ in range(MESO_STEPS):
        images, labels = batch(Recipe(), video, fakes, rng)
        logits = net(to_tensor(images))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels))
        optimizer = optimizer or torch.optim.AdamW(net.parameters(), 2e-3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    return np.array([score(net, crops[clip.file]).mean() for clip in fold.test])


def compare(split: list[Fold], crops: Crops, seed: int) -> dict[str, dict[str, object]]:
    """Return the out-of-fold AUC of every simpler detector, with its interval by group."""
    detectors: dict[str, Callable[[Fold], Floats]] = {
        "shortcuts": lambda fold: linear(fold, shortcuts),
        "spectrum": lambda fold: linear(fold, lambda clip: spectrum(crops[clip.file])),
        "MesoNet-type": lambda fold: meso(fold, crops, seed),
    }
    table: dict[str, dict[str, object]] = {}
    for name, detect in detectors.items():
        scores = [detect(fold) for fold in split]
        fake = np.array([clip.fake for fold in split for clip in fold.test])
        groups = [clip.group for fold in split for clip in fold.test]
        area = evaluation.bootstrap(evaluation.auc, np.concatenate(scores), fake, groups)
        table[name] = {"auc": round(float(area.value or 0), 3), "auc_ci": area.as_list()}
        print(name, table[name], flush=True)
    return table
