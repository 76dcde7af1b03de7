"""How fast pictures are analysed, by stage, beside every picture decoded and one face at a time."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benching import audio, batches, inputs, stages
from benching.metering import MeteredRegistry
from benching.showing import Bars, Table
from benching.spending import measured
from shared.probing import probe
from shared.records import Analysis, Media
from shared.settings import Settings
from workers.video import pipeline

FULL, HALF = "1080p30 H.264, 8 Mbit/s", "720p30 H.264, 5 Mbit/s"
NAMES = (FULL, HALF, "phone 1080p30 H.264", "720p30 H.264, 5 Mbit/s, 10 s")
LONG = "10-minute talk 720p H.264"
QUICK = ("short 360p H.264",)
#: Pictures that the pipeline decodes all of; longer recordings are sampled at key pictures.
_EVERY_S = 300.0


def options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    audio.shared_options(parser)
    parser.add_argument("--videos", nargs="+", help="these recordings of inputs.py, not the usual")
    parser.add_argument("--clip", type=Path, action="append", help="measure this file too")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Analyse recordings from S3 on, the references in turn with ours.

    Returns:
        Real-time factors, CPU seconds a media second, stages, the cost over the cheapest decode,
        batches, and the naive reference.
    """
    registry = MeteredRegistry(device="cuda" if args.gpu else "cpu", threads=args.threads)
    detector = pipeline.load(registry)
    names = args.videos or (QUICK if args.quick else (*NAMES, LONG))
    items = [inputs.make(name, args.inputs) for name in names]
    items += [
        inputs.Input(path.name, path, probe(path).duration_s or 0.0) for path in args.clip or ()
    ]
    rows, references = [], []
    shown: dict[str, stages.Run] = {}
    with tempfile.TemporaryDirectory() as directory, stages.storage(Path(directory)) as settings:
        _warm_up(detector, args.inputs)
        for item in items:
            run_, reference = _side_by_side(item, settings, registry, detector, args)
            shown[item.name] = run_
            rows.append(stages.row(item.name, item.duration_s, run_))
            references.append(reference)
    factors = {row["recording"]: row["x real time"] for row in rows}
    measured_s = [item.duration_s for item in items if item.name in (FULL, HALF)] or [
        items[0].duration_s
    ]
    chosen = [run_ for name, run_ in shown.items() if name in (FULL, HALF)] or [
        shown[items[0].name]
    ]
    return {
        "device": "cuda" if args.gpu else "cpu",
        "realtime_factor": round(sum(measured_s) / sum(one.spent.wall_s for one in chosen), 2),
        "realtime_1080p": factors.get(FULL),
        "realtime_720p": factors.get(HALF),
        "cpu_s_per_media_s": round(sum(one.spent.cpu_s for one in chosen) / sum(measured_s), 4),
        "stages": {
            stage: round(sum(one.stages_s[stage] for one in chosen), 3) for stage in stages.STAGES
        },
        "rows": rows,
        "reference": references,
        "batches": batches.rows(registry, pipeline.SCORER, "face", gpu=args.gpu, quick=args.quick),
    }


def _warm_up(detector: pipeline.VideoDetector, directory: Path) -> None:
    """Analyse something once, so that memory and kernels are there."""
    path = inputs.make(QUICK[0], directory).path
    pipeline.analyze(path, probe(path), detector)


def _side_by_side(
    item: inputs.Input,
    settings: Settings,
    registry: MeteredRegistry,
    detector: pipeline.VideoDetector,
    args: argparse.Namespace,
) -> tuple[stages.Run, dict[str, Any]]:
    """Run decode alone, ours and the naive way in turn, and lay out what ours costs over them."""

    def analyze(path: Path, media: Media) -> Analysis:
        return pipeline.analyze(path, media, detector, clock=time.perf_counter)

    stored = stages.upload(settings, item.path)
    runs, bare_s, naive = [], [], []
    long = item.duration_s > _EVERY_S
    for number in range(1 if args.quick or long else args.rounds):
        spent, _ = measured(partial(_decode, item.path, _EVERY_S if long else item.duration_s))
        bare_s.append(spent.cpu_s)
        runs.append(stages.half(settings, stored, "video", registry, analyze))
        if number == 0 and not long:
            naive.append(measured(partial(_naive, item.path, detector))[0])
    run_, decode_s = stages.middle(runs), statistics.median(bare_s)
    return run_, {
        "recording": item.name,
        "decode alone, CPU s": round(decode_s, 2),
        "ours / (decode + networks)": round(run_.spent.cpu_s / (decode_s + run_.infer_cpu_s), 3),
        "ours / decode": round(run_.spent.cpu_s / decode_s, 3),
        "naive x real time": round(item.duration_s / naive[0].wall_s, 2) if naive else None,
        "naive CPU s / media s": round(naive[0].cpu_s / item.duration_s, 4) if naive else None,
        "ours / naive CPU": round(run_.spent.cpu_s / naive[0].cpu_s, 3) if naive else None,
    }


def _decode(path: Path, duration_s: float) -> None:
    """Decode every picture that the sequence needs, and throw it away."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-t", str(duration_s), "-i", str(path)]
    subprocess.run([*command, "-map", "0:v:0", "-f", "null", "-"], check=True)


def _naive(path: Path, detector: pipeline.VideoDetector) -> None:
    """Decode for the faces, one at a time, then decode again for the sequence, full size."""
    capture, number = cv2.VideoCapture(str(path)), 0
    while True:
        there, image = capture.read()
        if not there:
            break
        if number % 30 == 0:
            picture = np.asarray(image, dtype=np.uint8)
            for face in detector.finder.find(picture):
                detector.scorer.score_crops([detector.scorer.cut(picture, face)])
        number += 1
    capture.release()
    again = cv2.VideoCapture(str(path))
    while True:
        there, image = again.read()
        if not there:
            break
        cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (64, 36), interpolation=cv2.INTER_AREA)
    again.release()


def tables(result: dict[str, Any]) -> list[Table]:
    """Lay out what was found."""
    return [
        Table("Pictures, from S3 to the stored half", result["rows"]),
        Table("Beside one plain decode, and beside the naive way", result["reference"]),
        Table("The face detector alone", result["batches"]),
    ]


def bars(result: dict[str, Any]) -> Bars:
    """Draw how often real time each recording runs."""
    values = {row["recording"]: row["x real time"] for row in result["rows"]}
    values |= {
        f"naive: {row['recording']}": row["naive x real time"]
        for row in result["reference"]
        if row["naive x real time"]
    }
    return Bars("Pictures", "x real time", values, {"aim, 1080p": 8.0, "aim, 720p": 15.0})
