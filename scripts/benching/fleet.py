"""What the fleet costs beside the analyses: rate, delay, calls of AWS a job, and idle calls."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benching import bare, inputs
from benching.counting import Calls, Counted, CountingWay
from benching.processes import running, system, worker
from benching.showing import Bars, Table
from shared import aws, objects, rows
from shared.errors import UnknownJob
from shared.jobs import JobStore
from shared.settings import Settings
from workers.onefile import analyze_file
from workers.samples import SAMPLES

#: Whose halves the instant analyzers store.
RECORDING, QUICK = "720p30 H.264, 5 Mbit/s", "short 360p H.264"
ROLES = ("intake", "audio", "video", "aggregator")
#: List prices of us-east-1 in dollars a million calls; of DynamoDB, a million request units.
PRICES = {
    "S3 PUT": 5.0,
    "S3 GET": 0.4,
    "S3 HEAD": 0.4,
    "SQS": 0.4,
    "DynamoDB GetItem": 0.125,
    "DynamoDB Query": 0.125,
    "DynamoDB BatchGetItem": 0.125,
    "DynamoDB": 0.625,
}
_HOUR_S = 3600.0
#: How often it is looked whether one verdict is there, or many; looking costs the stand-in time.
_LOOK_ALONE_S, _LOOK_S = 0.04, 0.5
_WAIT_S = 240.0
#: A video's first bytes; instant analyzers read no further.
_CONTENT = SAMPLES[0].read_bytes()[:20_000]


def options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--uploads", type=int, default=60, help="uploads of a burst")
    parser.add_argument("--idle-s", type=float, default=60.0, help="how long idleness is watched")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the fleet with instant analyzers behind a way that counts.

    Returns:
        Median delay, calls a job one by one and in a burst, their cost, idle calls an hour, and
        intake's rate beside a bare consumer's.
    """
    burst, alone = (10, 3) if args.quick else (args.uploads, 12)
    idle_s = 3.0 if args.quick else args.idle_s
    with tempfile.TemporaryDirectory() as directory, system(Path(directory)) as (settings, way):
        halves = Path(directory) / "halves"
        left = _write_halves(args, halves)
        with running(settings, way, Path(directory), ROLES, BENCH_HALVES=str(halves)):
            _follow(settings, [_put(settings, "warm-up")])
            way.taken()
            delays = [_follow(settings, [_put(settings, f"alone-{n}")])[0] for n in range(alone)]
            one_by_one = _of_roles(way.taken())
            time.sleep(2.0)
            way.taken()
            _follow(settings, [_put(settings, f"burst-{n}") for n in range(burst)])
            time.sleep(2.0)
            in_a_burst = _of_roles(way.taken())
            if args.quick:
                idle = _idle_calls(way, idle_s)
        if not args.quick:
            with running(settings, way, Path(directory), ROLES, GUARDIAN_RECEIVE_WAIT_S="20"):
                idle = _idle_calls(way, idle_s)
        events, turns = (20, 1) if args.quick else (3 * args.uploads, 2)
        rates = _rates(settings, Path(directory), events, turns)
    return {
        "delay_s": {
            "p50": round(statistics.median(delays), 3),
            "most": round(max(delays), 3),
            "n": len(delays),
        },
        "calls_a_job_alone": round(_busy(one_by_one.calls).total() / alone, 2),
        "calls_a_job_in_a_burst": round(_busy(in_a_burst.calls).total() / burst, 2),
        "left": left,
        "calls": _calls(one_by_one, alone, in_a_burst, burst),
        "dollars_a_million_jobs": round(_dollars(_busy(in_a_burst.units)) / burst * 1e6, 2),
        "idle_calls_an_hour": round(idle.calls.total() * _HOUR_S / idle_s),
        "idle": _idle(idle, idle_s),
        "intake": rates,
    }


def _write_halves(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Write down what the real analyses find in a recording, and lay out how large it is.

    Rows cost by their size. Pictures are left out: instant analyzers store none.
    """
    name = QUICK if args.quick else RECORDING
    item = inputs.make(name, args.inputs)
    job, _ = analyze_file(Settings(), item.path)
    folder.mkdir()
    left = []
    for half in job.halves:
        without = half.model_copy(update={"evidence": ()})
        (folder / f"{half.modality}.json").write_text(without.model_dump_json())
        left.append(
            {
                "recording": name,
                "half": half.modality,
                "bytes": len(without.model_dump_json()),
                "in its row": len(rows.text(without)),
                "pictures": len(half.evidence),
                "$ a million, to store them": len(half.evidence) * PRICES["S3 PUT"],
            }
        )
    return left


def _put(settings: Settings, name: str) -> tuple[str, float]:
    """Upload one recording that no other equals; return its job and when it was there."""
    key = f"uploads/{name}.mp4"
    answer = aws.client(settings, "s3").put_object(
        Bucket=settings.uploads_bucket, Key=key, Body=_CONTENT + name.encode()
    )
    return objects.as_upload(settings.uploads_bucket, key, answer).job_id, time.monotonic()


def _follow(settings: Settings, uploads: list[tuple[str, float]]) -> list[float]:
    """Wait for all verdicts; return the seconds from each upload to its verdict."""
    store, end = JobStore(settings), time.monotonic() + _WAIT_S
    delays: dict[str, float] = {}
    while len(delays) < len(uploads) and time.monotonic() < end:
        for job_id, put_s in uploads:
            if job_id not in delays and _is_decided(store, job_id):
                delays[job_id] = time.monotonic() - put_s
        time.sleep(_LOOK_ALONE_S if len(uploads) == 1 else _LOOK_S)
    if len(delays) < len(uploads):
        raise SystemExit(f"{len(uploads) - len(delays)} uploads have no verdict.")
    return list(delays.values())


def _is_decided(store: JobStore, job_id: str) -> bool:
    try:
        return store.get(job_id).verdict is not None
    except UnknownJob:
        return False


def _idle_calls(way: CountingWay, watched_s: float) -> Counted:
    """Return what is asked while nothing is uploaded."""
    time.sleep(1.0)
    way.taken()
    time.sleep(watched_s)
    return _of_roles(way.taken())


def _of_roles(counted: Counted) -> Counted:
    """Leave out what the bench itself asked."""
    return Counted(
        calls=Counter({key: n for key, n in counted.calls.items() if key[0] in ROLES}),
        units=Counter({key: n for key, n in counted.units.items() if key[0] in ROLES}),
    )


def _busy(calls: Calls) -> Calls:
    """Leave out the polls that brought nothing and what is done by the clock."""
    return Counter(
        {(who, what): count for (who, what), count in calls.items() if not _is_by_the_clock(what)}
    )


#: Calls that the clock makes, not a job: queue depths, the sweeper's queries, leaving processes.
_BY_THE_CLOCK = {
    *("DynamoDB Query", "DynamoDB BatchGetItem"),
    *("SQS GetQueueAttributes", "SQS GetQueueUrl"),
}


def _is_by_the_clock(what: str) -> bool:
    """Tell whether a call would be made without any job: polls, signs of life, pause flags."""
    return what.endswith(("(empty)", "(worker)", "(pause)", "(lost)")) or what in _BY_THE_CLOCK


def _price(what: str) -> float:
    known = PRICES.get(what.partition(" (")[0])
    return known if known is not None else PRICES.get(what.split(maxsplit=1)[0], 0.0)


def _dollars(units: Calls) -> float:
    return sum(count * _price(what) / 1e6 for (_, what), count in units.items())


def _calls(alone: Counted, jobs: int, burst: Counted, more: int) -> list[dict[str, Any]]:
    kinds = sorted(
        set(_busy(alone.calls)) | set(_busy(burst.calls)),
        key=lambda key: (ROLES.index(key[0]), key),
    )
    return [
        {
            "who": who,
            "call": what,
            "a job, one by one": round(alone.calls[who, what] / jobs, 2),
            "a job, in a burst": round(burst.calls[who, what] / more, 2),
            "units": round(burst.units[who, what] / more, 2),
            "$ a million jobs": round(burst.units[who, what] / more * _price(what), 2),
        }
        for who, what in kinds
    ]


def _idle(idle: Counted, watched_s: float) -> list[dict[str, Any]]:
    return [
        {
            "who": who,
            "call": what,
            "an hour": round(count * _HOUR_S / watched_s),
            "$ a month": round(
                idle.units[who, what] * _HOUR_S / watched_s * 730 * _price(what) / 1e6, 3
            ),
        }
        for (who, what), count in sorted(idle.calls.items())
    ]


def _rates(settings: Settings, directory: Path, count: int, turns: int) -> dict[str, Any]:
    """Drain the same number of events with a bare consumer and with intake, in turn."""
    bare_rates, intake_rates = [], []
    for turn in range(turns):
        names = [f"bare-{turn}-{n}" for n in range(count)]
        for name in names:
            _put(settings, name)
        bare_rates.append(asyncio.run(bare.drain(settings, count)))
        jobs = [_put(settings, f"intake-{turn}-{n}")[0] for n in range(count)]
        with worker(settings, str(settings.endpoint_url), directory, "intake"):
            intake_rates.append(_creation_rate(settings, jobs))
    ours, reference = max(intake_rates), max(bare_rates)
    return {
        "uploads_a_second": round(ours, 1),
        "bare_consumer": round(reference, 1),
        "share": round(ours / reference, 3),
        "events": count,
    }


def _creation_rate(settings: Settings, jobs: list[str]) -> float:
    """Wait until all jobs are there and dispatched; return how many came a second."""
    store, end = JobStore(settings), time.monotonic() + _WAIT_S
    left = len(jobs)
    while left and time.monotonic() < end:
        time.sleep(0.5)
        queue = aws.client(settings, "sqs")
        url = queue.get_queue_url(QueueName=settings.queue("uploads"))["QueueUrl"]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = queue.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        left = sum(int(value) for value in found.values())
    made = sorted(store.get(job_id).created_at for job_id in jobs)
    return (len(made) - 1) / max(1e-3, (made[-1] - made[0]).total_seconds())


def tables(result: dict[str, Any]) -> list[Table]:
    """Lay out what was found."""
    delay, intake = result["delay_s"], result["intake"]
    summary = {
        "upload to verdict, median s": delay["p50"],
        "most s": delay["most"],
        "calls a job, one by one": result["calls_a_job_alone"],
        "in a burst": result["calls_a_job_in_a_burst"],
        "$ a million jobs": result["dollars_a_million_jobs"],
        "intake, uploads/s": intake["uploads_a_second"],
        "bare consumer/s": intake["bare_consumer"],
        "share": intake["share"],
    }
    return [
        Table("The fleet with instant analyzers", [summary]),
        Table("What a recording leaves", result["left"]),
        Table("Calls of AWS", result["calls"]),
        Table(f"Idle: {result['idle_calls_an_hour']} calls an hour", result["idle"]),
    ]


def bars(result: dict[str, Any]) -> Bars:
    """Draw the calls a job in a burst."""
    values = {f"{row['who']}: {row['call']}": row["a job, in a burst"] for row in result["calls"]}
    return Bars("Calls of AWS a job, in a burst", "calls", values)
