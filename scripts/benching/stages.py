"""Runs one half of a job as a worker does, from the object in S3 on, and splits its time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benching.metering import MeteredRegistry
from benching.spending import Spent, measured
from shared import aws, objects
from shared.halves import examine
from shared.records import Analysis, Media, Modality, Upload
from shared.settings import Settings
from workers import local

STAGES = ("fetch", "decode", "prepare", "infer", "post")


@dataclass(frozen=True)
class Run:
    """What one half took.

    Attributes:
        spent: From the first byte to the stored form of the result.
        stages_s: Seconds on the clock by stage; decoding beside inference is not counted twice.
        infer_cpu_s: CPU time of the networks.
        outcome: What it ended with.
    """

    spent: Spent
    stages_s: dict[str, float]
    infer_cpu_s: float
    outcome: str


@contextmanager
def storage(directory: Path) -> Iterator[Settings]:
    """Run a stand-in for S3 without workers; the settings reach it."""
    chosen = Settings(state_dir=directory / "state", work_dir=directory / "work")
    with local.running(chosen, roles=()) as system:
        yield system.settings


def upload(settings: Settings, path: Path) -> Upload:
    """Put a recording into the bucket."""
    key = f"uploads/{path.name}"
    aws.client(settings, "s3").upload_file(str(path), settings.uploads_bucket, key)
    return Upload(bucket=settings.uploads_bucket, key=key)


def half(
    settings: Settings,
    item: Upload,
    modality: Modality,
    registry: MeteredRegistry,
    analyze: Callable[[Path, Media], Analysis],
) -> Run:
    """Fetch, probe, analyse and encode one recording, and look for its manifest.

    Args:
        settings: Where the object is.
        item: The object.
        modality: Which half.
        registry: Counts what the networks spend.
        analyze: The pipeline.
    """
    registry.reset()
    stages = dict.fromkeys(STAGES, 0.0)

    def work() -> Analysis:
        began = time.perf_counter()
        with (
            objects.workspace(settings) as directory,
            objects.fetch(settings, item, directory) as fetched,
        ):
            stages["fetch"] = time.perf_counter() - began
            analysis, _ = examine(fetched.path, modality, analyze, settings)
        written = time.perf_counter()
        analysis.result.model_dump_json()
        stages["post"] = time.perf_counter() - written
        return analysis

    spent, analysis = measured(work)
    infer_cpu_s, infer_s = registry.spent()
    stages["decode"] = analysis.result.timings_ms.get("decode", 0.0) / 1000
    stages["infer"] = infer_s
    stages["prepare"] = max(0.0, spent.wall_s - sum(stages.values()))
    return Run(spent, stages, infer_cpu_s, analysis.result.outcome)


def middle(runs: list[Run]) -> Run:
    """Return the run with the median CPU time."""
    cpu = statistics.median_low([run.spent.cpu_s for run in runs])
    return next(run for run in runs if run.spent.cpu_s == cpu)


def row(name: str, duration_s: float, run: Run) -> dict[str, Any]:
    """Lay out one run."""
    return {
        "recording": name,
        "x real time": round(duration_s / run.spent.wall_s, 2),
        "jobs a minute": round(60 / run.spent.wall_s, 1),
        "CPU s / media s": round(run.spent.cpu_s / duration_s, 4),
        **{f"{stage} s": round(value, 2) for stage, value in run.stages_s.items()},
        "decoders' CPU s": round(run.spent.child_cpu_s, 2),
        "networks' CPU s": round(run.infer_cpu_s, 2),
    }
