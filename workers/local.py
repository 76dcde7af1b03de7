"""The whole system on this machine: a stand-in for AWS on loopback and the fleet's own processes.

The workers are the ones that pods run; only the endpoint differs. Not for production data: the
stand-in keeps everything in memory.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from pydantic import SecretStr

from shared.errors import SetupError
from shared.settings import Settings
from workers.provision import provision

HOST = "127.0.0.1"
#: Ports below those that Linux and macOS give to outgoing connections and to whoever asks for any.
_PORTS = range(20_000, 32_000)
ROLES = ("intake", "audio", "video", "aggregator")
_START_S = 120.0
_STOP_S = 30.0
_NOTE = "local.json"
#: The stand-in accepts any key; boto3 wants one to sign with.
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
#: Short long polls, so that processes stop quickly on Ctrl-C.
_LOCAL_SETTINGS = {"GUARDIAN_RECEIVE_WAIT_S": "2", "GUARDIAN_LOG_FORMAT": "json"}


@dataclass(frozen=True)
class Process:
    """One child of the local system."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    health_port: int | None = None


@dataclass(frozen=True)
class LocalSystem:
    """A running local system.

    Attributes:
        settings: Settings that reach it.
        endpoint_url: Where S3, SQS and DynamoDB answer.
        processes: Its children, the stand-in first.
        console_url: Where the console answers, if it was asked for.
    """

    settings: Settings
    endpoint_url: str
    processes: tuple[Process, ...]
    console_url: str | None = None

    def dead(self) -> Process | None:
        """Return a child that has ended, if any."""
        return next((child for child in self.processes if child.popen.poll() is not None), None)


@contextmanager
def running(
    settings: Settings,
    port: int = 0,
    roles: tuple[str, ...] = ROLES,
    console_port: int | None = None,
) -> Iterator[LocalSystem]:
    """Start stand-in and workers, wait until all are ready, and stop them at the end.

    Args:
        settings: The settings to start from; the endpoint is replaced.
        port: Port of the stand-in; 0 takes a free one.
        roles: Which workers to start.
        console_port: Port of the console, or another where it is taken; None starts none.

    Raises:
        SetupError: Another system runs or has the port, or a process did not start; then the
            message ends with its last lines.
    """
    if found := find(settings):
        raise SetupError(
            f"A local system runs already, at {found.endpoint_url}. End it first, or set "
            "GUARDIAN_STATE_DIR to another directory for a second one."
        )
    port = port or free_port()
    if not _is_free(port):
        raise SetupError(f"Port {port} is taken or not to be had; give another with --port.")
    endpoint = f"http://{HOST}:{port}"
    for name, value in _CREDENTIALS.items():
        os.environ.setdefault(name, value)
    here = settings.model_copy(update={"endpoint_url": endpoint})
    logs = settings.state_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stand_in = _spawn("aws", [sys.executable, "-m", "workers.standin", str(port)], logs, {})
        stack.callback(_stop, [stand_in])
        _wait(stand_in, f"{endpoint}/moto-api/")
        provision(here)
        environment = {**_LOCAL_SETTINGS, **as_environment(here)}
        workers: list[Process] = []
        stack.callback(_stop, workers)
        workers.extend(_spawn_worker(role, logs, environment) for role in roles)
        for worker in workers:
            _wait(worker, f"http://{HOST}:{worker.health_port}/ready")
        console_url = None
        if console_port is not None:
            console_url = _start_console(workers, logs, environment, console_port)
        system = LocalSystem(here, endpoint, (stand_in, *workers), console_url)
        with _noted(settings, system):
            yield system


def as_environment(settings: Settings) -> dict[str, str]:
    """Pass the settings that were set on to children."""
    chosen = settings.model_dump(exclude_unset=True, exclude_none=True)
    plain = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in chosen.items()
    }
    return {f"GUARDIAN_{name.upper()}": str(value) for name, value in plain.items()}


def _spawn_worker(role: str, logs: Path, environment: Mapping[str, str]) -> Process:
    port = free_port()
    command = [sys.executable, "-m", "workers.cli", "worker", role]
    return _spawn(role, command, logs, {**environment, "GUARDIAN_METRICS_PORT": str(port)}, port)


def _start_console(
    children: list[Process], logs: Path, environment: Mapping[str, str], wanted: int
) -> str:
    """Start the console beside the workers, wait for it, and return its address."""
    port = wanted if _is_free(wanted) else free_port()
    command = [sys.executable, "-m", "workers.cli", "console", "--port", str(port)]
    console = _spawn("console", command, logs, environment)
    children.append(console)
    _wait(console, f"http://{HOST}:{port}/ready")
    return f"http://{HOST}:{port}/"


def _spawn(
    name: str,
    command: list[str],
    logs: Path,
    environment: Mapping[str, str],
    port: int | None = None,
) -> Process:
    setpriv = shutil.which("setpriv")
    if setpriv:  # a parent that is killed takes its children along
        command = [setpriv, "--pdeathsig", "TERM", "--", *command]
    path = logs / f"{name}.log"
    with path.open("wb") as log:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which stops the children
        )
    return Process(name, popen, path, port)


def _wait(process: Process, url: str) -> None:
    """Wait until a URL answers 200."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if process.popen.poll() is not None:
            raise SetupError(f"The {process.name} process ended at start: {tail(process.log)}")
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  # a loopback URL of ours
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise SetupError(
        f"The {process.name} process was not ready in {_START_S:.0f} s: {tail(process.log)}"
    )


def tail(log: Path, lines: int = 5) -> str:
    """Return the last lines of a log as one string."""
    return " | ".join(log.read_text(errors="replace").strip().splitlines()[-lines:])


def _stop(processes: list[Process]) -> None:
    """SIGTERM to each, then SIGKILL to the groups of those that have not ended in time."""
    for process in processes:
        if process.popen.poll() is None:
            process.popen.send_signal(signal.SIGTERM)
    end = time.monotonic() + _STOP_S
    for process in processes:
        try:
            process.popen.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.popen.pid, signal.SIGKILL)
            process.popen.wait()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server itself does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Find a port that no connection takes until a process listens there."""
    return next(port for port in random.sample(_PORTS, len(_PORTS)) if _is_free(port))


@contextmanager
def _noted(settings: Settings, system: LocalSystem) -> Iterator[None]:
    """Leave a note while the system runs, so that other shells find it."""
    note = settings.state_dir / _NOTE
    note.write_text(json.dumps({"pid": os.getpid(), "endpoint_url": system.endpoint_url}))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def find(settings: Settings) -> Settings | None:
    """Return settings that reach the local system of this user, if one runs."""
    note: IO[str]
    try:
        with (settings.state_dir / _NOTE).open() as note:
            found = json.load(note)
        os.kill(found["pid"], 0)
        if _is_free(urlsplit(found["endpoint_url"]).port or 0):  # the id is another program's now
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for name, value in _CREDENTIALS.items():
        os.environ.setdefault(name, value)
    return settings.model_copy(update={"endpoint_url": found["endpoint_url"]})
