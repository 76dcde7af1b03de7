"""How far recompression, scaling, framing and overlays move the score of the face detector.

    scripts/robustness_video.py DATA --cache CACHE --clips 24

DATA and CACHE are those of train_video.py. Every clip is scored by the networks that did not see
its generator or its group, so the areas under the curve are out of fold, as on the card.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from train_video import MEMBERS, STEPS, loaded, state_name
from training.video_crops import Clip, Crop, crops_of_clip, read_manifest
from training.video_folds import folds
from training.video_loop import score
from training.video_net import FaceNet

from shared.models import Registry
from workers import evaluation
from workers.video.faces import FaceFinder
from workers.video.pipeline import FINDER, SCORER
from workers.video.pooling import Calibration
from workers.video.quality import MIN_FACE_PX, MIN_FACES

H264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-an")
TEXT = "drawtext=text='BREAKING NEWS':fontsize=h/10:fontcolor=white:box=1:boxcolor=black@0.6"
VARIANTS: dict[str, tuple[str, ...]] = {
    "as it is": (*H264, "-crf", "12"),
    "CRF 23": (*H264, "-crf", "23"),
    "CRF 32": (*H264, "-crf", "32"),
    "CRF 38": (*H264, "-crf", "38"),
    "half size": (*H264, "-crf", "23", "-vf", "scale=trunc(iw/4)*2:trunc(ih/4)*2"),
    "phone": (*H264, "-crf", "28", "-vf", "scale=trunc(iw*0.4)*2:-2,unsharp=5:5:0.5", "-r", "24"),
    "letterbox": (*H264, "-crf", "23", "-vf", "pad=iw:trunc(ih*0.7)*2:0:(oh-ih)/2"),
    "text over the chin": (*H264, "-crf", "23", "-vf", f"{TEXT}:x=(w-tw)/2:y=h*0.72"),
}


@dataclass(frozen=True)
class Judge:
    """The out-of-fold networks of each clip, and the calibration."""

    finder: FaceFinder
    nets: dict[str, list[FaceNet]]
    calibration: Calibration

    def llr(self, crops: list[Crop], file: str) -> float:
        """Return the log-likelihood ratio of a clip; NaN where the workers give none."""
        usable = [crop for crop in crops if crop.size >= MIN_FACE_PX]
        if len(usable) < MIN_FACES:
            return float("nan")
        scores = [score(net, usable).astype(np.float64) for net in self.nets[file]]
        return self.calibration.of_person(np.mean(scores, axis=0))


def main() -> None:
    """Print a table as JSON: what was scored, how far scores moved, and the areas of the copies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(".guardian/train-video"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=24, help="clips, half of each class")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.data / "clips"
    clips = read_manifest(folder / "manifest.csv")
    judge = open_judge(clips, arguments.cache, arguments.seed)
    chosen = choose(clips, judge, arguments.clips)
    fake = np.array([clip.fake for clip in chosen])
    table: dict[str, dict[str, float | int]] = {}
    plain = np.zeros(0)
    for name, options in VARIANTS.items():
        llr = np.array([copy_llr(folder, clip, options, judge) for clip in chosen])
        plain = plain if plain.size else llr
        table[name] = figures(llr, plain, fake)
        print(name, table[name], flush=True)
    print(json.dumps(table, indent=1))


def open_judge(clips: list[Clip], cache: Path, seed: int) -> Judge:
    """Load the networks of all folds from the cache of train_video.py."""
    registry = Registry(device="cpu", threads=1)
    nets: dict[str, list[FaceNet]] = {}
    for fold in folds(clips, seed):
        name = state_name(fold, seed, STEPS, f"of-{MEMBERS}")
        net = loaded(torch.load(cache / name, weights_only=True))
        for clip in fold.test:
            nets.setdefault(clip.file, []).append(net)
    calibration = Calibration.from_params(registry.entry(SCORER).params)
    return Judge(FaceFinder(registry.session(FINDER)), nets, calibration)


def choose(clips: list[Clip], judge: Judge, count: int) -> list[Clip]:
    """Take clips of both classes, evenly over the manifest."""
    chosen = []
    for fake in (False, True):
        same = [clip for clip in clips if clip.fake == fake and clip.file in judge.nets]
        chosen += [same[n * len(same) * 2 // count] for n in range(count // 2)]
    return chosen


def copy_llr(folder: Path, clip: Clip, options: tuple[str, ...], judge: Judge) -> float:
    """Score a re-encoded copy of a clip."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy.mp4"
        command = ["ffmpeg", "-y", "-v", "error", "-i", str(folder / clip.file), *options]
        subprocess.run([*command, str(copy)], check=True)
        return judge.llr(crops_of_clip(copy, judge.finder, clip.file), clip.file)


def figures(
    llr: NDArray[np.float64], plain: NDArray[np.float64], fake: NDArray[np.bool_]
) -> dict[str, float | int]:
    """Return how far the copies moved, and how well they are told apart."""
    kept = np.isfinite(llr) & np.isfinite(plain)
    moved = llr[kept] - plain[kept]
    return {
        "scored": int(kept.sum()),
        "mean_shift": round(float(moved.mean()), 3),
        "mean_absolute_shift": round(float(np.abs(moved).mean()), 3),
        "auc": round(evaluation.auc(llr[kept], fake[kept]), 3),
        "auc_of_the_same_clips_before": round(evaluation.auc(plain[kept], fake[kept]), 3),
    }


if __name__ == "__main__":
    main()
