"""How far recompression, scaling and framing move the score of the face detector.

    scripts/robustness_video.py MANIFEST --clips 24

Re-encodes clips of each class and scores every copy with the installed detector. The clips may be
ones that it was trained on: what counts is the difference between a copy and its original.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from shared.errors import Permanent
from shared.media import probe
from shared.models import Registry
from workers import evaluation
from workers.evaluate import read_manifest
from workers.video import pipeline

H264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-an")
VARIANTS: dict[str, tuple[str, ...]] = {
    "CRF 23": (*H264, "-crf", "23"),
    "CRF 32": (*H264, "-crf", "32"),
    "CRF 38": (*H264, "-crf", "38"),
    "half size": (*H264, "-crf", "23", "-vf", "scale=trunc(iw/4)*2:trunc(ih/4)*2"),
    "letterbox": (*H264, "-crf", "23", "-vf", "pad=iw:trunc(ih*0.7)*2:0:(oh-ih)/2"),
    "phone": (*H264, "-crf", "28", "-vf", "scale=trunc(iw*0.4)*2:-2,unsharp=5:5:0.5", "-r", "24"),
    "bar over the chin": (*H264, "-crf", "23", "-vf", "drawbox=0:ih*0.85:iw:ih*0.1:black:fill"),
}


def main() -> None:
    """Print a table as JSON: what was scored, how far scores moved, and the AUC of the copies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--clips", type=int, default=24, help="clips, half of each class")
    arguments = parser.parse_args()
    detector = pipeline.load(Registry(device="cpu", threads=1))
    rows = read_manifest(arguments.manifest)
    chosen = []
    for fake in (False, True):
        same = [row for row in rows if row.fake == fake]
        chosen += same[:: max(1, 2 * len(same) // arguments.clips)][: arguments.clips // 2]
    truth = np.array([row.fake for row in chosen])
    plain = np.array([_score(row.path, detector) for row in chosen])
    table = {"original": _figures(plain, plain, truth)}
    for name, options in VARIANTS.items():
        scores = [_copy_score(row.path, options, detector) for row in chosen]
        table[name] = _figures(np.array(scores), plain, truth)
        print(name, table[name], flush=True)
    print(json.dumps(table, indent=1))


def _copy_score(path: Path, options: tuple[str, ...], detector: pipeline.VideoDetector) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy.mp4"
        command = ["ffmpeg", "-y", "-v", "error", "-i", str(path), *options, str(copy)]
        subprocess.run(command, check=True)
        return _score(copy, detector)


def _score(path: Path, detector: pipeline.VideoDetector) -> float:
    """Return the log-likelihood ratio; NaN where the detector declined."""
    try:
        half = pipeline.analyze(path, probe(path), detector, sync=False, sequence=False).result
    except Permanent:
        return float("nan")
    return float("nan") if half.llr is None else half.llr


def _figures(scores: np.ndarray, plain: np.ndarray, fake: np.ndarray) -> dict[str, float | int]:
    kept = np.isfinite(scores) & np.isfinite(plain)
    moved = scores[kept] - plain[kept]
    return {
        "scored": int(kept.sum()),
        "mean_shift": round(float(moved.mean()), 3),
        "mean_absolute_shift": round(float(np.abs(moved).mean()), 3),
        "auc": round(evaluation.auc(scores[kept], fake[kept]), 3),
    }


if __name__ == "__main__":
    main()
