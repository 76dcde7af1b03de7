"""How fast sound is analysed, by stage, beside one window at a time over everything decoded."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benching import batches, inputs, stages
from benching.metering import MeteredRegistry
from benching.showing import Bars, Table
from benching.spending import Spent, measured
from shared.media import PCM_RATE
from shared.records import Analysis, Media
from workers.audio import pipeline

NAMES = ("voice message 30 s", "voice recording 10 min")
QUICK = ("short 360p H.264",)


def options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--sounds", nargs="+", help="these recordings of inputs.py, not the usual")
    shared_options(parser)


def shared_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen here and for the pictures."""
    if gpu_option(parser):
        parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
        parser.add_argument("--threads", type=int, default=0, help="of a network; 0 is all cores")


def gpu_option(parser: argparse.ArgumentParser) -> bool:
    """Add `--gpu`, and return whether it was not there yet: `all` has the options of each."""
    new = not any(action.dest == "gpu" for action in parser._actions)  # noqa: SLF001
    if new:
        parser.add_argument("--gpu", action="store_true", help="fails unless CUDA is really used")
    return new


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Analyse recordings from S3 on, the naive way in turn with ours.

    Returns:
        Real-time factors, CPU seconds a media second, stages, batches, and the reference.
    """
    registry = MeteredRegistry(device="cuda" if args.gpu else "cpu", threads=args.threads)
    detector = pipeline.load(registry)

    def analyze(path: Path, media: Media) -> Analysis:
        half = pipeline.analyze(path, media, detector, clock=time.perf_counter)
        return Analysis(half)

    rows, naive_rows = [], []
    shown: dict[str, stages.Run] = {}
    with tempfile.TemporaryDirectory() as directory, stages.storage(Path(directory)) as settings:
        for name in args.sounds or (QUICK if args.quick else NAMES):
            item = inputs.make(name, args.inputs)
            stored = stages.upload(settings, item.path)
            runs, naive = [], []
            for _ in range(1 if args.quick else args.rounds):
                naive.append(measured(lambda path=item.path: _naive(path, detector))[0])
                runs.append(stages.half(settings, stored, "audio", registry, analyze))
            shown[name] = stages.middle(runs)
            rows.append(stages.row(name, item.duration_s, shown[name]))
            naive_rows.append(_naive_row(name, item.duration_s, naive, shown[name]))
    seconds = sum(inputs.make(name, args.inputs).duration_s for name in shown)
    wall_s = sum(taken.spent.wall_s for taken in shown.values())
    cpu_s = sum(taken.spent.cpu_s for taken in shown.values())
    return {
        "device": "cuda" if args.gpu else "cpu",
        "realtime_factor": round(seconds / wall_s, 2),
        "cpu_s_per_media_s": round(cpu_s / seconds, 5),
        "realtime_factor_one_core": round(seconds / cpu_s, 2),
        "stages": {
            stage: round(sum(taken.stages_s[stage] for taken in shown.values()), 3)
            for stage in stages.STAGES
        },
        "rows": rows,
        "reference": naive_rows,
        "batches": batches.rows(registry, pipeline.MODEL, "window", gpu=args.gpu, quick=args.quick),
    }


def _naive(path: Path, detector: pipeline.AudioDetector) -> None:
    """Decode all into memory, then score one window after the other, silence too."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-map", "0:a:0", "-ac", "1"]
    done = subprocess.run(
        [*command, "-ar", str(PCM_RATE), "-f", "f32le", "-"], check=True, capture_output=True
    )
    sound = np.frombuffer(done.stdout, dtype="<f4")
    asked = detector.network.get_inputs()[0]
    window = int(asked.shape[1])
    for start in range(0, max(1, sound.size - window + 1), window // 2):
        piece = np.resize(sound[start : start + window], (1, window))
        detector.network.run(None, {asked.name: piece})


def _naive_row(
    name: str, duration_s: float, naive: list[Spent], ours: stages.Run
) -> dict[str, Any]:
    cpu_s = sorted(spent.cpu_s for spent in naive)[len(naive) // 2]
    wall_s = sorted(spent.wall_s for spent in naive)[len(naive) // 2]
    return {
        "recording": name,
        "naive x real time": round(duration_s / wall_s, 2),
        "naive CPU s / media s": round(cpu_s / duration_s, 4),
        "ours / naive CPU": round(ours.spent.cpu_s / cpu_s, 3),
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """Lay out what was found."""
    return [
        Table("Sound, from S3 to the stored half", result["rows"]),
        Table("Reference: everything decoded, one window at a time", result["reference"]),
        Table("The voice detector alone", result["batches"]),
    ]


def bars(result: dict[str, Any]) -> Bars:
    """Draw how often real time each recording runs."""
    values = {row["recording"]: row["x real time"] for row in result["rows"]}
    values |= {
        f"naive: {row['recording']}": row["naive x real time"] for row in result["reference"]
    }
    return Bars("Sound", "x real time", values, {"aim, short": 60.0, "aim, long": 150.0})
