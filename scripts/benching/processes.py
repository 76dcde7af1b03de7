"""Runs processes of the fleet against a stand-in for AWS, and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benching.counting import CountingWay
from shared.settings import Settings
from workers import local

_START_S = 240.0
#: A worker that polls for 20 s hears of its end after that.
_STOP_S = 60.0


@contextmanager
def system(directory: Path) -> Iterator[tuple[Settings, CountingWay]]:
    """Run the stand-in and the way that counts; the settings go around it."""
    chosen = Settings(state_dir=directory / "state", work_dir=directory / "work")
    with local.running(chosen, roles=()) as system:
        way = CountingWay(system.endpoint_url)
        try:
            yield system.settings, way
        finally:
            way.close()


@contextmanager
def running(
    settings: Settings, way: CountingWay, directory: Path, roles: Iterable[str], **more: str
) -> Iterator[None]:
    """Run one process a role behind the way, and wait until each has asked its queue."""
    wanted = set(roles)
    way.taken()
    children = [start(settings, way.url, directory, role, **more) for role in sorted(wanted)]
    try:
        end = time.monotonic() + _START_S
        asked = set[str]()
        while asked < wanted and time.monotonic() < end:
            asked |= {who for who, what in way.taken().calls if "ReceiveMessage" in what}
            time.sleep(0.1)
        if asked < wanted:
            raise SystemExit(f"These did not start: {wanted - asked}.")
        yield
    finally:
        stop(children)


@contextmanager
def worker(
    settings: Settings, endpoint: str, directory: Path, role: str, **options: Any
) -> Iterator[int]:
    """Run one process of a role, see `start`, and yield its id."""
    child = start(settings, endpoint, directory, role, **options)
    try:
        yield child.pid
    finally:
        stop([child])


def start(
    settings: Settings,
    endpoint: str,
    directory: Path,
    role: str,
    *,
    instant: bool = True,
    **more: str,
) -> subprocess.Popen[bytes]:
    """Start one process of a role; an analyzer is `instant`, or the real one."""
    at_once = instant and role in {"audio", "video"}
    module = ["benching.instant"] if at_once else ["workers.cli", "worker"]
    command = [sys.executable, "-m", *module, role]
    environment = {
        **os.environ,
        **local.as_environment(settings),
        "GUARDIAN_ENDPOINT_URL": endpoint,
        "GUARDIAN_METRICS_PORT": "0",
        "GUARDIAN_RECEIVE_WAIT_S": "2",
        "GUARDIAN_LOG_LEVEL": "warning",
        "AWS_ACCESS_KEY_ID": role,
        "AWS_SECRET_ACCESS_KEY": "none",
        **more,
    }
    with (directory / f"{role}.log").open("ab") as log:
        return subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def stop(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask all to end, once: a second time would leave a poll behind that takes messages along.

    One that takes too long is ended with its pool.
    """
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
