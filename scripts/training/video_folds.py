"""The development split: whole generators and all clips of a group are held back together."""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.video_crops import Clip

#: Generators that are held back together: whole kinds, so that no fold has seen one like its test.
HELD_BACK: tuple[frozenset[str], ...] = (
    frozenset({"Wav2Lip", "GHOST", "motion-cosegmentation"}),  # lip-sync and face swap
    frozenset({"VASA-1", "EMO", "AniTalker", "StyleTalk", "SadTalker", "EDTalk"}),  # talking head
    frozenset({"AniPortrait", "FOMM"}),  # reenactment
)


@dataclass(frozen=True)
class Fold:
    """One split.

    Attributes:
        number: Position among the folds.
        train: Clips to learn from: no held-back generator, no group of the test clips.
        test: Clips of the held-back generators, and real clips that belong with them.
    """

    number: int
    train: list[Clip]
    test: list[Clip]


def folds(clips: list[Clip], seed: int) -> list[Fold]:
    """Split clips into one fold a set of generators.

    Real clips that share a group with fakes go where those fakes go; the others are dealt out.
    """
    homes = _homes(clips, seed)
    out = []
    for number, held_back in enumerate(HELD_BACK):
        test = [
            clip
            for clip in clips
            if (clip.generator in held_back if clip.fake else number in homes[clip.group])
        ]
        closed = {clip.group for clip in test}
        train = [
            clip
            for clip in clips
            if clip.group not in closed and not (clip.fake and clip.generator in held_back)
        ]
        out.append(Fold(number, train, test))
    return out


def _homes(clips: list[Clip], seed: int) -> dict[str, set[int]]:
    makers = {
        group: {clip.generator for clip in clips if clip.group == group and clip.fake}
        for group in sorted({clip.group for clip in clips})
    }
    free = [group for group, names in makers.items() if not names]
    random.Random(seed).shuffle(free)
    homes = {group: {place % len(HELD_BACK)} for place, group in enumerate(free)}
    for group, names in makers.items():
        if names:
            homes[group] = {n for n, held in enumerate(HELD_BACK) if held & names}
    return homes
