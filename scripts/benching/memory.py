"""How much memory an analysis takes at its peak, by size and length, and whether jobs leak any."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benching import inputs, processes
from benching.asking import Asker, asker
from benching.showing import Bars, Table
from benching.spending import run_child
from shared import aws, queues
from shared.settings import Settings

NAMES = ("10 MB, 72 s", "500 MB, one hour", "8 MB, one hour")
QUICK = ("short 360p H.264",)
#: Memory that a large file may take more than a small one, in MB.
ALLOWED_MB = 150
#: Share of the jobs after which a process has what it needs.
_SETTLED = 0.3
#: Jobs before the first look: the pool child starts, and loads what it loads once.
_WARM_UP = 10
_WAIT_S = 3600.0
#: The program that is measured: both halves, pictures and sound, as in a worker.
_ONE = "import sys; from workers.cli import main; main(sys.argv[1:])"


def options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--jobs", type=int, default=2_000, help="jobs through one worker")
    parser.add_argument("--only-jobs", action="store_true", help="no files, the jobs alone")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Analyse files of several sizes, each in a process of its own, then many jobs in one.

    Returns:
        Peak memory by file, and the slope of the worker's memory over its jobs.
    """
    rows = []
    for name in () if args.only_jobs else QUICK if args.quick else NAMES:
        item = inputs.make(name, args.inputs)
        command = [sys.executable, "-c", _ONE, "analyze", str(item.path), "--json"]
        spent, peak = run_child(command, {"GUARDIAN_LOG_LEVEL": "error"}, quiet=True)
        rows.append(
            {
                "recording": name,
                "MB": round(item.path.stat().st_size / 1e6, 1),
                "length s": item.duration_s,
                "peak memory MB": round(peak / 1e6, 1),
                "CPU s": round(spent.cpu_s, 1),
            }
        )
    peaks = [row["peak memory MB"] for row in rows]
    return {
        "files": rows,
        "growth_mb": round(max(peaks) - peaks[0], 1) if peaks else None,
        "allowed_mb": ALLOWED_MB,
        "jobs": _many_jobs(40 if args.quick else args.jobs),
    }


def _many_jobs(count: int) -> dict[str, Any]:
    """Send jobs to one audio worker whose analysis is instant, and watch its memory."""
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings, _ = stack.enter_context(processes.system(path))
        endpoint = str(settings.endpoint_url)
        parent = stack.enter_context(processes.worker(settings, endpoint, path, "audio"))
        asks = stack.enter_context(asker(settings))
        points = _watch(settings, asks, parent, count, path)
    settled = points[int(_SETTLED * len(points)) :]
    slope = float(np.polyfit(*zip(*settled, strict=True), 1)[0])
    return {
        "count": count,
        "bytes_a_job": round(slope * 1e6, 1),
        "first_mb": points[0][1],
        "last_mb": points[-1][1],
        "points": points,
    }


def _watch(
    settings: Settings, asks: Asker, parent: int, count: int, directory: Path
) -> list[tuple[int, float]]:
    """Feed the worker so that it never waits, and note its memory every few jobs."""
    sqs, url = aws.client(settings, "sqs"), queues.queue_url(settings, settings.queue("audio"))
    sound = directory / "sound.wav"
    sound.write_bytes(b"RIFF")
    points: list[tuple[int, float]] = []
    end = time.monotonic() + _WAIT_S
    for number in range(_WARM_UP):
        asks.ask("audio", f"uploads/warm-up-{number}.wav", sound)
    _wait_for_few(sqs, url, end, few=0)
    for number in range(count):
        asks.ask("audio", f"uploads/{number}.wav", sound)
        if number % max(1, count // 40) == 0:
            _wait_for_few(sqs, url, end)
            points.append((number, round(_memory_mb(parent), 2)))
    _wait_for_few(sqs, url, end, few=0)
    points.append((count, round(_memory_mb(parent), 2)))
    return points


def _wait_for_few(sqs: Any, url: str, end: float, few: int = 10) -> None:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    while time.monotonic() < end:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        if sum(int(value) for value in found.values()) <= few:
            return
        time.sleep(0.1)
    raise SystemExit("The worker did not keep up.")


def _memory_mb(parent: int) -> float:
    """Return the resident memory of a worker and its pool children, in MB."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            above = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in {int(path.name), above}:
                total += int((path / "statm").read_text().split()[1]) * page
        except OSError:
            continue  # it has ended meanwhile
    return total / 1e6


def tables(result: dict[str, Any]) -> list[Table]:
    """Lay out what was found."""
    jobs = result["jobs"]
    many = {
        "jobs through one worker": jobs["count"],
        "memory at first MB": jobs["first_mb"],
        "at last MB": jobs["last_mb"],
        "bytes a job": jobs["bytes_a_job"],
    }
    return [
        Table("Peak memory of one analysis, both halves", result["files"]),
        Table("Memory over many jobs", [many]),
    ]


def bars(result: dict[str, Any]) -> Bars:
    """Draw the peaks."""
    peaks = {row["recording"]: row["peak memory MB"] for row in result["files"]}
    aims = {"allowed": next(iter(peaks.values())) + ALLOWED_MB} if peaks else {}
    return Bars("Peak memory of one analysis", "MB", peaks, aims)
