#!/usr/bin/env python3
"""Measure how often two pictures are rightly taken for one shot or for two.

    scripts/measure_shots.py CLIPS

Pairs of pictures from two recordings are as across a cut, pairs that are some frames apart in one
recording as across missing frames; all of them again as dark as while a picture fades to black.
Recordings are those of the development half, see `tamper.py`. Prints one JSON document: of 3,000
pairs each, the share that is taken for the other.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tamper import sources_in

from shared.dense import GreyReader
from shared.probing import probe
from workers.video.motion import SIDE_PX, measure
from workers.video.shots import same_shot

Picture = NDArray[np.uint8]
#: Pairs of each kind, and frames between the two of one recording.
PAIRS, APART = 3000, (8, 60)
#: Parts of the light that are left, from a picture as it is to the end of a fade.
LIGHTS = (1.0, 0.6, 0.4, 0.25, 0.15, 0.08)


def main() -> None:
    """Read, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", type=Path, help="folder of untouched recordings")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    sources = sources_in(options.sources, "development", (), genuine=False)
    recordings = [
        (source.group, pictures(source.path)) for source in sources if source.path is not None
    ]
    print(json.dumps(report(recordings, rng), indent=1))


def pictures(path: Path) -> Picture:
    """Return the pictures of a recording as the product sees them, shape (n, height, width)."""
    media = probe(path)
    track = media.of_kind("video")[0]
    reader = GreyReader(path, media, track, max_side_px=SIDE_PX, max_frames=9_000)
    return measure(iter(reader)).pictures


def report(recordings: list[tuple[str, Picture]], rng: random.Random) -> dict[str, Any]:
    """Draw the pairs and count the wrong answers; recordings of other shapes make no pair."""
    long = [own for _, own in recordings if len(own) > APART[1]]
    cuts, missing = [], []
    while len(cuts) < PAIRS:
        (one, first), (other, second) = rng.sample(recordings, 2)
        if one != other and first.shape[1:] == second.shape[1:]:
            cuts.append((rng.choice(first), rng.choice(second)))
    for _ in range(PAIRS):
        own = rng.choice(long)
        start, length = rng.randrange(len(own) - APART[1]), rng.randint(*APART)
        missing.append((own[start], own[start + length]))
    return {
        "recordings": len(recordings),
        "pairs_of_each": PAIRS,
        "by_light": [
            {
                "light": light,
                "cuts_taken_for_one_shot": round(_share(cuts, light), 4),
                "one_shot_taken_for_a_cut": round(1 - _share(missing, light), 4),
            }
            for light in LIGHTS
        ],
    }


def _share(pairs: list[tuple[Picture, Picture]], light: float) -> float:
    """Return the share of pairs, all of them darkened, that are taken for one shot."""
    dark = (np.uint8(np.stack(pair) * light) for pair in pairs)
    return sum(same_shot(first, second) for first, second in dark) / len(pairs)


if __name__ == "__main__":
    main()
