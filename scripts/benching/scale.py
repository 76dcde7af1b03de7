"""Jobs a minute with more worker processes, and by simulation up to a million a day."""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benching import audio, inputs
from benching.asking import asker
from benching.processes import start, stop, system
from benching.showing import Bars, Table
from shared.jobs import JobStore
from shared.records import Modality
from workers.plan import Cluster
from workers.plan_search import Load, Rate, make_plan

RECORDINGS = {"video": "720p30 H.264, 5 Mbit/s, 10 s", "audio": "voice message 30 s"}
QUICK = "short 360p H.264"
UPLOADS_A_DAY = (1_000, 10_000, 100_000, 1_000_000)
_DAY_H = 24.0
#: Jobs that a simulated load has at most; rarer uploads are simulated for longer.
_SIMULATED = 20_000
#: What a plan aims at: 95 of 100 jobs wait no longer, in seconds.
TARGET_WAIT_S = 300.0
#: Dollars a GPU node and hour, the plan's own default; and seconds a job besides the analysis.
NODE_PRICE, OVERHEAD_S = 0.65, 2.0
_WAIT_S = 600.0


def options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    audio.gpu_option(parser)
    parser.add_argument("--half", choices=RECORDINGS, default="video", help="whose workers")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2], help="worker processes")
    parser.add_argument("--each", type=int, default=6, help="jobs for each process")
    parser.add_argument("--minutes", type=float, default=1.0, help="length of a planned upload")
    parser.add_argument("--audio-factor", type=float, default=60.0, help="x real time, one pod")
    parser.add_argument("--video-factor", type=float, default=8.0, help="x real time, one pod")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run real workers of one half side by side, then plan for loads that no single machine has.

    Returns:
        Jobs a minute by number of processes, and pods, waits and cost by uploads a day.
    """
    counts = [1] if args.quick else args.processes
    each = 1 if args.quick else args.each
    item = inputs.make(QUICK if args.quick else RECORDINGS[args.half], args.inputs)
    device = "cuda" if args.gpu else "cpu"
    rows: list[dict[str, Any]] = []
    for count in counts:
        per_minute = _jobs_a_minute(args.half, device, item, count, each * count)
        first = rows[0]["jobs a minute"] if rows else per_minute
        rows.append(
            {
                "worker processes": count,
                "jobs a minute": round(per_minute, 2),
                "of one process's rate": round(per_minute / first, 2),
            }
        )
    loads = UPLOADS_A_DAY[:1] if args.quick else UPLOADS_A_DAY
    rates = {
        "audio": Rate(args.audio_factor, OVERHEAD_S, "given"),
        "video": Rate(args.video_factor, OVERHEAD_S, "given"),
    }
    return {
        "half": args.half,
        "device": device,
        "recording": item.name,
        "processes": rows,
        "rates": {name: rate.realtime_factor for name, rate in rates.items()},
        "planned": [_planned(day, args.minutes, rates) for day in loads],
    }


def _jobs_a_minute(
    half: Modality, device: str, item: inputs.Input, processes: int, jobs: int
) -> float:
    """Let so many processes, of one thread each, work off the jobs of a full queue."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        path = Path(directory)
        settings, _ = stack.enter_context(system(path))
        store = JobStore(settings)
        asks = stack.enter_context(asker(settings))
        first = asks.ask(half, "uploads/first.mp4", item.path)
        children = [
            start(
                *(settings, str(settings.endpoint_url), path, half),
                instant=False,
                GUARDIAN_THREADS="1",
                GUARDIAN_DEVICE=device,
            )
            for _ in range(processes)
        ]
        stack.callback(stop, children)
        _wait(store, half, [first])
        time.sleep(5.0 * (processes > 1))  # the others are up by now too
        names = [asks.ask(half, f"uploads/{number}.mp4", item.path) for number in range(jobs)]
        began = time.perf_counter()
        _wait(store, half, names)
        return 60 * jobs / (time.perf_counter() - began)


def _wait(store: JobStore, half: Modality, jobs: list[str]) -> None:
    end, left = time.monotonic() + _WAIT_S, set(jobs)
    while left:
        if time.monotonic() > end:
            raise SystemExit(f"{len(left)} jobs were not done in {_WAIT_S:.0f} s.")
        time.sleep(0.1)
        left = {job_id for job_id in left if store.get(job_id).half(half) is None}


def _planned(day: int, minutes: float, rates: dict[Any, Rate]) -> dict[str, Any]:
    """Simulate a load with the chart's autoscaler and return what it takes."""
    per_hour = day / _DAY_H
    hours = min(_DAY_H, max(0.5, _SIMULATED / per_hour))
    plan = make_plan(
        Load(per_hour, minutes, hours, 0, 0.0), rates, Cluster(), TARGET_WAIT_S, NODE_PRICE
    )
    found = plan.document()
    return {
        "uploads a day": day,
        "simulated": found["load"]["uploads"],
        **{f"{name} pods, most": row["pods_most"] for name, row in found["workers"].items()},
        "video wait p95 s": round(found["workers"]["video"]["wait_s"]["p95"], 1),
        "both halves p95 s": round(found["both_halves_done_s"]["p95"], 1),
        "$ a thousand videos": round(found["cost_per_1000_videos"], 2),
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """Lay out what was found."""
    where = " on one GPU" if result["device"] == "cuda" else ""
    title = f"{result['half'].capitalize()} workers of one thread each{where}"
    return [
        Table(f"{title}: {result['recording']}", result["processes"]),
        Table(f"Planned, at {result['rates']} x real time a pod", result["planned"]),
    ]


def bars(result: dict[str, Any]) -> Bars:
    """Draw the jobs a minute."""
    values = {
        f"{row['worker processes']} processes": row["jobs a minute"] for row in result["processes"]
    }
    return Bars(f"{result['half'].capitalize()} jobs a minute", "jobs", values)
