"""How fast the console lists jobs while uploads arrive, beside the stand-in's own query time."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benching import stages
from shared import aws, rows
from shared.jobs import JobStore
from shared.records import JobStatus, Upload
from shared.settings import Settings
from workers import local

HOST = "127.0.0.1"
_PAGES = {
    "first page": "/api/jobs?limit=50",
    "second page": "/api/jobs?limit=50&before={later}",
    "by state": "/api/jobs?limit=50&status=complete",
    "by text": "/api/jobs?limit=50&text=recording-99",
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--jobs", type=int, default=10_000, help="rows in the table before")
    parser.add_argument("--rate", type=float, default=50.0, help="jobs created a second")
    parser.add_argument("--seconds", type=float, default=40.0, help="how long pages are asked for")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Fill a table, let jobs arrive, and time pages and bare queries side by side.

    Returns:
        Milliseconds of each kind of page and of one bare query, and what really arrived.
    """
    with tempfile.TemporaryDirectory() as directory, stages.storage(Path(directory)) as settings:
        _fill(settings, args.jobs)
        idle = _times(lambda: _query(settings), 3.0)
        with _console(settings) as url, _arrivals(settings, args.rate) as arrived:
            _wait(f"{url}/ready")
            _wait_for_memory(url)
            pages = {name: [] for name in _PAGES}
            bare: list[float] = []
            began = time.monotonic()
            with _beside(lambda: bare.append(_timed(lambda: _query(settings)))):
                while time.monotonic() - began < args.seconds:
                    for name, path in _PAGES.items():
                        before = datetime.now(UTC) - timedelta(seconds=20)
                        address = url + path.format(later=before.strftime("%Y-%m-%dT%H:%M:%S"))
                        pages[name].append(_timed(partial(_get, address)))
                        time.sleep(0.05)
            took_s = time.monotonic() - began
            age_s = json.loads(_get(url + _PAGES["first page"]))["age_s"]
        return {
            "jobs_before": args.jobs,
            "arrived_per_s": round(arrived[0] / max(0.1, arrived[1]), 1),
            "measured_s": round(took_s, 1),
            "page_ms": {name: _summary(values) for name, values in pages.items()},
            "page_age_s": age_s,
            "bare_query_ms": _summary(bare),
            "bare_query_before_arrivals_ms": _summary(idle),
        }


def _summary(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {
        "n": len(values),
        "p50": round(statistics.median(values), 1),
        "p95": round(cuts[-1], 1),
        "max": round(max(values), 1),
    }


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _times(call: Callable[[], Any], seconds: float) -> list[float]:
    end = time.monotonic() + seconds
    values = [_timed(call), _timed(call)]
    while time.monotonic() < end:
        values.append(_timed(call))
    return values


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  # loopback
        body: bytes = answer.read()
    return body


def _wait(url: str) -> None:
    end = time.monotonic() + 400
    while time.monotonic() < end:
        try:
            _get(url)
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"{url} did not answer.")


def _wait_for_memory(url: str) -> None:
    """Wait until the console has read the newest jobs once."""
    end = time.monotonic() + 120
    while time.monotonic() < end and _timed(lambda: _get(url + _PAGES["first page"])) > 300:
        time.sleep(1)


def _query(settings: Settings) -> None:
    """Ask one shard of the index for a page's share: what the stand-in itself needs."""
    aws.client(settings, "dynamodb").query(
        TableName=settings.table,
        IndexName="newest",
        KeyConditionExpression="feed = :feed",
        ExpressionAttributeValues={":feed": {"S": "feed#0"}},
        ScanIndexForward=False,
        Limit=20,
    )


def _upload(settings: Settings) -> Upload:
    name = f"recording-{uuid.uuid4().int % 1000}-{uuid.uuid4().hex[:12]}.mp4"
    return Upload(
        bucket=settings.uploads_bucket, key=f"uploads/{name}", etag=uuid.uuid4().hex, size_bytes=1
    )


def _fill(settings: Settings, count: int) -> None:
    """Write rows such as intake makes, half of them complete, one a second into the past."""
    store, client = JobStore(settings), aws.client(settings, "dynamodb")
    now = datetime.now(UTC)
    for start in range(0, count, 25):
        items = [
            _row(
                store,
                settings,
                now - timedelta(seconds=number),
                JobStatus.COMPLETE if number % 2 else JobStatus.QUEUED,
            )
            for number in range(start, min(count, start + 25))
        ]
        client.batch_write_item(RequestItems={settings.table: items})


def _row(store: JobStore, settings: Settings, now: datetime, status: JobStatus) -> dict[str, Any]:
    """Return the row of a new upload as intake writes it, for a batch."""
    row = store._new(_upload(settings), now, status)  # noqa: SLF001  # the very row
    return {"PutRequest": {"Item": rows.encode(row)}}


@contextmanager
def _beside(call: Callable[[], None]) -> Iterator[None]:
    """Make a call again and again from a thread of its own, with pauses of 3 s."""
    stop = threading.Event()

    def again() -> None:
        while not stop.is_set():
            call()
            stop.wait(3.0)

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _arrivals(settings: Settings, rate: float) -> Iterator[list[float]]:
    """Let rows of new jobs arrive at a rate, ten at a time; the list says how many, in how long.

    They are written in batches: the stand-in cannot take 50 conditional writes a second beside the
    queries, which the page does not depend on.
    """
    stop = threading.Event()
    arrived = [0.0, 0.0]
    store, client = JobStore(settings), aws.client(settings, "dynamodb")
    began = time.monotonic()

    def arrive() -> None:
        while not stop.wait(max(0.0, began + arrived[0] / rate - time.monotonic())):
            rows_now = [
                _row(store, settings, datetime.now(UTC), JobStatus.QUEUED) for _ in range(10)
            ]
            client.batch_write_item(RequestItems={settings.table: rows_now})
            arrived[0] += len(rows_now)

    thread = threading.Thread(target=arrive)
    thread.start()
    try:
        yield arrived
    finally:
        stop.set()
        thread.join()
        arrived[1] = time.monotonic() - began


@contextmanager
def _console(settings: Settings) -> Iterator[str]:
    """Run the console; yield its address."""
    port = local.free_port()
    command = [sys.executable, "-m", "workers.cli", "console", "--port", str(port)]
    environment, quiet = {**os.environ, **local.as_environment(settings)}, subprocess.DEVNULL
    child = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet)
    try:
        yield f"http://{HOST}:{port}"
    finally:
        child.terminate()
        child.wait(30)
