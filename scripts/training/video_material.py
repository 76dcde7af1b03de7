"""What the face networks learn from: crops of clips and photographs, each with a redrawn twin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.caching import digest_of
from training.spreading import spread
from training.video_crops import Clip, Crop
from training.video_data import Source
from training.video_degrade import Image
from training.video_folds import Fold
from training.video_generators import KINDS, Redrawer, fit_generator, new_generator
from training.video_loop import Machine
from training.video_photos import load_photos

GENERATOR_STEPS = 250
#: How often each untouched face is redrawn, and shares of that work.
TWINS, PARTS = 1, 64

Crops = dict[str, list[Crop]]


@dataclass(frozen=True)
class Material:
    """Crops by file: of the clips, the untouched ones with twins, and of the photographs."""

    crops: Crops
    photos: Crops

    def real(self, fold: Fold) -> list[Source]:
        """Return the untouched training crops of a fold: of clips, then of photographs."""
        sources = [Source(self.crops, [clip for clip in fold.train if not clip.fake], "group")]
        if self.photos:
            names = [Clip(name, False, "none", "", "photographs", {}) for name in self.photos]
            sources.append(Source(self.photos, names, "group"))
        return sources

    def fakes(self, fold: Fold) -> Source:
        """Return the published fakes of a fold."""
        return Source(self.crops, [clip for clip in fold.train if clip.fake], "generator")


def prepare(
    data: Path, clips: list[Clip], crops: Crops, cache: Path, machine: Machine, jobs: int
) -> Material:
    """Train the small generators, if the cache has none, and redraw every untouched face.

    The generators learn from photographs alone, so they have seen nobody of any clip; where there
    are no photographs, nothing is redrawn.
    """
    photos = load_photos(data / "faces")
    if not photos:
        return Material(crops, {})
    generators = _generators(photos, cache, machine.device, jobs)
    untouched = {clip.file: crops[clip.file] for clip in clips if not clip.fake}
    names = sorted(untouched | photos)
    parts = [names[start::PARTS] for start in range(PARTS)]
    redraw = partial(_redrawn, untouched | photos, generators, machine.device)
    twins = {name: own for part in spread(redraw, parts, jobs) for name, own in part.items()}
    return Material(
        crops | {name: twins[name] for name in untouched}, {name: twins[name] for name in photos}
    )


def _redrawn(crops: Crops, generators: list[nn.Module], device: str, names: list[str]) -> Crops:
    redrawer = Redrawer(tuple(generator.to(device) for generator in generators))
    out: Crops = {}
    for name in names:
        rng = np.random.default_rng([1, *name.encode()])
        out[name] = [
            replace(
                crop,
                redrawn=tuple(redrawer.redraw(crop.image, crop.size, rng) for _ in range(TWINS)),
            )
            for crop in crops[name]
        ]
    return out


def _generators(photos: Crops, cache: Path, device: str, jobs: int) -> list[nn.Module]:
    images = [own[0].image for own in photos.values()]
    photos_name = digest_of(sorted(photos))
    stored = [
        cache / f"generator-{number}-photos-{photos_name}-steps-{GENERATOR_STEPS}.pt"
        for number in range(len(KINDS))
    ]
    spread(partial(_fit, images, stored, device), range(len(KINDS)), jobs)
    made: list[nn.Module] = []
    for kind, path in zip(KINDS, stored, strict=True):
        generator = new_generator(*kind)
        generator.load_state_dict(torch.load(path, weights_only=True))
        made.append(generator.eval())
    return made


def _fit(images: list[Image], stored: list[Path], device: str, number: int) -> None:
    if not stored[number].exists():
        state = fit_generator(number, images, GENERATOR_STEPS, device).state_dict()
        torch.save(state, stored[number])
