"""Train the candidates on two thirds of the sources, and score the pool's windows of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from audio_candidates import CANDIDATES
from audio_fit import Floats, Table, balance, fold_of
from audio_nets import RATE
from audio_pool import Clips, batches
from numpy.typing import NDArray
from torch import nn

#: Sets into which the folds are gathered, and the one that all are tested on.
SETS, HELD_BACK = 3, 0
BATCH, RATE_OF_LEARNING = 24, 1e-3
#: Length of what a network hears of a clip in training, and part of the crops from clean copies.
CROP, CLEAN = 3 * RATE, 0.4
#: Degraded copies that crops are drawn from.
COPIES = 2


@dataclass
class Crops:
    """Clips of all manifests to draw crops from, and how likely each is drawn.

    Attributes:
        clips: The manifests.
        whose: Manifest and clip of each that may be drawn, shape (n, 2).
        fake: Truth, shape (n,).
        weight: Chance against others of its class, shape (n,).
    """

    clips: list[Clips]
    whose: NDArray[np.int64]
    fake: NDArray[np.bool_]
    weight: Floats

    def draw(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return crops (BATCH, CROP) and truth, both classes alike."""
        rows, truth = [], np.arange(BATCH) % 2 == 1
        for wanted in truth:
            chance = self.weight * (self.fake == wanted)
            part, index = self.whose[rng.choice(len(chance), p=chance / chance.sum())]
            clips = self.clips[part]
            copy = 0 if rng.random() < CLEAN else int(rng.integers(1, COPIES + 1))
            clip = clips.clip(copy, int(index))
            start = int(rng.integers(0, max(1, clip.size - CROP)))
            rows.append(np.resize(clip[start : start + CROP], CROP))
        return torch.tensor(np.stack(rows)).float() / 32768, torch.tensor(truth).float()


def held_back(table: Table) -> NDArray[np.bool_]:
    """Tell which windows are scored: the pool's, clean and in the first degraded copy."""
    sets = np.array([fold_of(source, SETS) for source in table.source])
    return np.asarray(table.pool & (table.copy <= 1) & (sets == HELD_BACK))


def scores_of(name: str, clips: list[Clips], table: Table, work: Path, seed: int) -> Floats:
    """Return scores of the windows held back, by a network that never saw their sources.

    A network that is in the work folder is not trained again.
    """
    make, steps = CANDIDATES[name]
    stored = work / f"candidate-{name.replace(' ', '-')}-steps-{steps}-seed-{seed}.pt"
    torch.manual_seed(seed)
    net = make()
    if not stored.exists():
        print(f"{name}: {steps} batches", flush=True)
        sets = np.array([fold_of(source, SETS) for source in table.source])
        net = _train(net, _crops(clips, table, sets != HELD_BACK), steps, seed)
        torch.save(net.state_dict(), stored)
    net.load_state_dict(torch.load(stored, weights_only=True))
    return score_windows(net.eval(), clips[0], table, held_back(table))


def _crops(clips: list[Clips], table: Table, used: NDArray[np.bool_]) -> Crops:
    first = np.concatenate([[0], np.cumsum([len(part.rows) for part in clips])])
    kept = used & (table.copy == 0)
    _, places = np.unique(table.clip[kept], return_index=True)
    numbers = table.clip[kept][places]
    part = np.searchsorted(first, numbers, side="right") - 1
    weight = balance(table)[kept][places]
    return Crops(
        clips, np.stack([part, numbers - first[part]], 1), table.fake[kept][places], weight
    )


def _train(net: nn.Module, crops: Crops, steps: int, seed: int) -> nn.Module:
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(net.parameters(), RATE_OF_LEARNING, weight_decay=0.01)
    slope = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE_OF_LEARNING, total_steps=steps)
    for _ in range(steps):
        heard, truth = crops.draw(rng)
        loss = nn.functional.binary_cross_entropy_with_logits(net(heard), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # not in the stubs
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        slope.step()
    return net


def score_windows(net: nn.Module, pool: Clips, table: Table, chosen: NDArray[np.bool_]) -> Floats:
    """Score the chosen windows of the pool's clips, in the table's order."""
    wanted = set(zip(table.copy[chosen].tolist(), table.clip[chosen].tolist(), strict=True))
    plain = Clips(pool.rows, pool.pcm[:2], pool.offsets, pool.speech_s)
    found: list[float] = []
    for batch, whose in batches(plain, np.random.default_rng(0)):
        kept = [window for window, owner in zip(batch, whose, strict=True) if owner in wanted]
        if kept:
            with torch.no_grad():
                found += net(torch.tensor(np.stack(kept)).float() / 32768).tolist()
    return np.array(found)
