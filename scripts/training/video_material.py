"""What the face networks learn from: crops of clips and photographs, each with a redrawn twin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.caching import digest_of
from training.video_crops import Clip, Crop
from training.video_data import Source
from training.video_folds import Fold
from training.video_generators import KINDS, Redrawer, fit_generator, new_generator
from training.video_photos import load_photos

GENERATOR_STEPS = 250

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


def prepare(data: Path, clips: list[Clip], crops: Crops, cache: Path) -> Material:
    """Train the small generators, if the cache has none, and redraw every untouched face.

    The generators learn from photographs alone, so they have seen nobody of any clip; where there
    are no photographs, nothing is redrawn.
    """
    photos = load_photos(data / "faces")
    if not photos:
        return Material(crops, {})
    redrawer = Redrawer(tuple(_generators(photos, cache)))
    untouched = {clip.file: crops[clip.file] for clip in clips if not clip.fake}
    return Material(crops | _redrawn(untouched, redrawer, 1), _redrawn(photos, redrawer, 2))


def _redrawn(crops: Crops, redrawer: Redrawer, seed: int) -> Crops:
    rng = np.random.default_rng(seed)
    return {
        name: [replace(crop, redrawn=redrawer.redraw(crop.image, crop.size, rng)) for crop in own]
        for name, own in crops.items()
    }


def _generators(photos: Crops, cache: Path) -> list[nn.Module]:
    images = [own[0].image for own in photos.values()]
    made: list[nn.Module] = []
    for number, kind in enumerate(KINDS):
        photos_name = digest_of(sorted(photos))
        stored = cache / f"generator-{number}-photos-{photos_name}-steps-{GENERATOR_STEPS}.pt"
        if not stored.exists():
            torch.save(fit_generator(number, images, GENERATOR_STEPS).state_dict(), stored)
        generator = new_generator(*kind)
        generator.load_state_dict(torch.load(stored, weights_only=True))
        made.append(generator.eval())
    return made
