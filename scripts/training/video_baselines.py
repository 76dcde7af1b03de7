"""What simpler detectors reach on the same split: shortcuts, spectra, a MesoNet-type network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.video_calibrate import fit_logistic, pooled_score
from training.video_crops import Clip, Crop
from training.video_data import Recipe, batch, frame_face
from training.video_folds import Fold
from training.video_loop import score, to_tensor
from training.video_material import Material
from workers import evaluation

Floats = NDArray[np.float64]
#: Out-of-fold scores by clip; a clip that two folds test is in both.
Scores = dict[str, list[float]]

#: Rings of the spectrum, and the ridge of the linear detectors.
RINGS = 24
RIDGE = 3.0
MESO_STEPS = 200


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


#: What says nothing about a face, each a detector of its own and all of them together.
SHORTCUTS: dict[str, Callable[[Clip], list[float]]] = {
    "resolution": lambda clip: [float(clip.row["width"]), float(clip.row["height"])],
    "frame rate": lambda clip: [float(clip.row["orig_fps"] or 25)],
    "bit rate": lambda clip: [float(np.log(float(clip.row["bytes"]) / _duration_s(clip)))],
    "duration": lambda clip: [_duration_s(clip)],
    "sound there": lambda clip: [float(clip.row["has_audio"])],
}


def _duration_s(clip: Clip) -> float:
    return max(float(clip.row["duration_s"]), 0.1)


def all_shortcuts(clip: Clip) -> list[float]:
    """Return every shortcut of a clip."""
    return [value for describe in SHORTCUTS.values() for value in describe(clip)]


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


def meso_net(fold: Fold, material: Material, seed: int) -> Meso4:
    """Train the small network on the batches that the shipped one learns from."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 100 + fold.number])
    real, fakes = material.real(fold), material.fakes(fold)
    net = Meso4()
    optimizer: torch.optim.Optimizer | None = None
    for step in range(MESO_STEPS):
        images, labels = batch(Recipe(), real, fakes, rng)
        logits = net(to_tensor(images))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels))
        optimizer = optimizer or torch.optim.AdamW(net.parameters(), 2e-3)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / MESO_STEPS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def meso(fold: Fold, material: Material, seed: int) -> Floats:
    """Return the small network's scores of the test clips."""
    net = meso_net(fold, material, seed)
    scores = [score(net, material.crops[clip.file]) for clip in fold.test]
    return np.array([pooled_score(of_clip) for of_clip in scores])


def baseline_scores(split: list[Fold], material: Material, seed: int) -> dict[str, Scores]:
    """Return the out-of-fold scores of every simpler detector."""
    spectra = {clip.file: spectrum(material.crops[clip.file]) for f in split for clip in f.test}
    spectra |= {clip.file: spectrum(material.crops[clip.file]) for f in split for clip in f.train}
    detectors: dict[str, Callable[[Fold], Floats]] = {
        "MesoNet-type": lambda fold: meso(fold, material, seed),
        "spectrum, linear": lambda fold: linear(fold, lambda clip: spectra[clip.file]),
        "all shortcuts": lambda fold: linear(fold, all_shortcuts),
    }
    for name, describe in SHORTCUTS.items():
        detectors[f"shortcut: {name}"] = lambda fold, d=describe: linear(fold, d)  # type: ignore[misc]
    found: dict[str, Scores] = {}
    for name, detect in detectors.items():
        found[name] = {}
        for fold in split:
            for clip, value in zip(fold.test, detect(fold), strict=True):
                found[name].setdefault(clip.file, []).append(float(value))
        print(f"scored by {name}", flush=True)
    return found


@dataclass(frozen=True)
class Cell:
    """One area under the curve with its interval by group."""

    auc: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """Return it as a table shows it."""
        bounds = (
            "" if self.low is None or self.high is None else f" ({self.low:.2f}-{self.high:.2f})"
        )
        return f"{self.auc:.3f}{bounds}"


def compare(clips: list[Clip], detectors: Mapping[str, Scores]) -> dict[str, dict[str, Cell]]:
    """Return the area of every detector over all clips, and over each kind of fake."""
    kinds = sorted({clip.kind for clip in clips if clip.fake})
    table: dict[str, dict[str, Cell]] = {}
    for name, scores in detectors.items():
        table[name] = {}
        for kind in ("all", *kinds):
            rows = [
                clip
                for clip in clips
                if clip.file in scores and (not clip.fake or kind in ("all", clip.kind))
            ]
            area = evaluation.bootstrap(
                evaluation.auc,
                np.array([np.mean(scores[clip.file]) for clip in rows]),
                np.array([clip.fake for clip in rows]),
                [clip.group for clip in rows],
            )
            table[name][kind] = Cell(float(area.value or 0), area.low, area.high)
    return table


def as_markdown(table: dict[str, dict[str, Cell]]) -> str:
    """Return the table with one detector a line."""
    kinds = list(next(iter(table.values())))
    lines = [f"| detector | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    lines += [f"| {n} | {' | '.join(str(row[k]) for k in kinds)} |" for n, row in table.items()]
    return "\n".join(lines)
