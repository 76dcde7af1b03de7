"""The fleet's own processes, killed at random and started again as a cluster would."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

#: Ways to end a process, with their weights: all of a pod, the parent alone, the pool child alone,
#: and a polite request with a short grace period.
_WAYS = {"kill_pod": 5, "kill_parent": 2, "kill_child": 2, "terminate": 3}
#: What a process writes when it takes work.
_POOL_IS_UP = b"calling self.run()"
_UP = {"intake": b"intake_starting"} | dict.fromkeys(("audio", "video", "aggregator"), _POOL_IS_UP)
#: Part of the blows that also hit a process which is only starting.
_EARLY = 0.2
#: Longest wait between an end and the next start, in seconds.
_RESTART_S = 2.0
#: Time that a process gets after SIGTERM in a storm, shorter than a job; and at the end.
_SHORT_GRACE_S = 1.5
_STOP_S = 45.0


@dataclass
class Place:
    """A place for one process of a role; whoever runs in it may die and be replaced.

    Attributes:
        name: Its name, also of its log.
        role: What runs in it.
        log: Where the processes write, one after the other.
        process: The one that runs, or has run last.
        begun: Where in the log it has begun.
    """

    name: str
    role: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    begun: int = 0

    @property
    def is_up(self) -> bool:
        """Whether the process takes work by now."""
        if self.process is None or self.process.poll() is not None:
            return False
        with self.log.open("rb") as log:
            log.seek(self.begun)
            return _UP[self.role] in log.read()


@dataclass
class Fleet:
    """The processes of one installation.

    Attributes:
        environment: What each process gets.
        places: Who runs.
        counts: How often which role was ended in which way.
    """

    environment: dict[str, str]
    places: list[Place]
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, roles: Iterable[str], environment: dict[str, str], logs: Path) -> Fleet:
        """Lay out places, one for each role named; a role may be named more than once."""
        logs.mkdir(parents=True, exist_ok=True)
        names = [(f"{role}-{index}", role) for index, role in enumerate(roles)]
        places = [Place(name, role, logs / f"{name}.log") for name, role in names]
        return cls(environment, places)

    def start(self) -> None:
        """Start whoever does not run."""
        for place in self.places:
            if place.process is None or place.process.poll() is not None:
                self._start(place)

    def _start(self, place: Place) -> None:
        log: IO[bytes]
        with place.log.open("ab") as log:
            place.begun = log.tell()
            place.process = subprocess.Popen(
                [sys.executable, "-m", "workers.cli", "worker", place.role],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def strike(self, rng: random.Random) -> None:
        """End one process in one of the ways and start another in its place.

        Most blows wait for a process that is up: on a slow machine none would ever be.
        """
        least = min(self._strikes(place.role) for place in self.places)
        place = rng.choice([p for p in self.places if self._strikes(p.role) <= least + 1])
        if not place.is_up and rng.random() > _EARLY:
            return
        way = rng.choices(list(_WAYS), weights=list(_WAYS.values()))[0]
        process = place.process
        if process is None or process.poll() is not None:
            self._start(place)
            return
        self.counts[f"{place.role}_{way}"] += 1
        _END[way](process)
        time.sleep(rng.uniform(0, _RESTART_S))
        if process.poll() is not None:
            self._start(place)

    def _strikes(self, role: str) -> int:
        return sum(count for what, count in self.counts.items() if what.startswith(f"{role}_"))

    def stop(self) -> list[str]:
        """End all politely, and return those that did not end well, with their status."""
        running = [place for place in self.places if place.process is not None]
        for place in running:
            if place.process.poll() is None:
                place.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + _STOP_S
        bad: list[str] = []
        for place in running:
            try:
                status = place.process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                status = None
                _kill(_tree(place.process.pid))
                place.process.wait()
            if status != 0:
                bad.append(f"{place.name}: {status}")
        return bad


def strays(marker: str) -> list[str]:
    """Return the command lines of living processes whose environment holds a text."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit() or int(path.name) == os.getpid():
            continue
        try:
            if marker.encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it has ended meanwhile, or is not ours
    return found


def _tree(pid: int) -> list[int]:
    """Return a process and all that it has started, at any depth."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
            children.setdefault(parent, []).append(int(path.name))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue += children.get(found[-1], [])
    return found


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _kill_pod(process: subprocess.Popen[bytes]) -> None:
    _kill(_tree(process.pid))
    process.wait()


def _kill_parent(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _kill_child(process: subprocess.Popen[bytes]) -> None:
    """Kill the largest of what the process has started, as the kernel does when memory runs out."""
    children = _tree(process.pid)[1:]
    if children:
        _kill([max(children, key=_memory)])
    else:
        _kill_pod(process)


def _memory(pid: int) -> int:
    """Return how many pages of memory a process holds; none where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0


def _terminate(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    deadline = threading.Timer(_SHORT_GRACE_S, lambda: _kill(_tree(process.pid)))
    deadline.start()
    process.wait()
    deadline.cancel()


_END = {
    "kill_pod": _kill_pod,
    "kill_parent": _kill_parent,
    "kill_child": _kill_child,
    "terminate": _terminate,
}
