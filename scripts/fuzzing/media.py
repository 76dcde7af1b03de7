"""Damaged media through `guardian analyze`: how many inputs, what became of them, what was left."""

from __future__ import annotations

import json
import os
import queue
import random
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzzing import mutations, originals
from fuzzing.canary import Canary
from shared import sandbox

#: Seconds for one input: ten decoders that each take all their time, and some for us.
LIMIT_S = 150.0
#: Seconds until the networks are loaded.
_START_S = 120.0
#: Every n-th input is analysed with the real networks; the others with ones that see and hear
#: nobody, which changes nothing before the networks: probe, all decoders, provenance, verdict.
WITH_MODELS = 20
#: Descriptors, threads or children that one process may have more at its end than at its start.
_SLACK = 2
_SUBREAPER = 36  # <linux/prctl.h>: orphans of killed processes become our children


@dataclass
class Plan:
    """What is asked for.

    Attributes:
        inputs: How many files.
        seed: Makes the same files again.
        processes: How many analyse at once.
        keep: Where inputs that did harm are kept.
    """

    inputs: int
    seed: int
    processes: int
    keep: Path | None = None


@dataclass
class Tally:
    """What became of the inputs."""

    refused: Counter[str] = field(default_factory=Counter)
    audio: Counter[str] = field(default_factory=Counter)
    video: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    containers: Counter[str] = field(default_factory=Counter)
    crashes: list[dict[str, Any]] = field(default_factory=list)
    hangs: list[int] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    analysed: int = 0
    with_models: int = 0
    slowest_s: float = 0.0
    peak_mb: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, answer: dict[str, Any], *, models: bool) -> None:
        """Count one answer."""
        with self.lock:
            self.with_models += models
            self.slowest_s = max(self.slowest_s, answer["seconds"])
            self.peak_mb = max(self.peak_mb, answer["peak_mb"])
            if "refused" in answer:
                self.refused[answer["refused"]] += 1
                return
            self.analysed += 1
            self.audio[answer["halves"]["audio"]] += 1
            self.video[answer["halves"]["video"]] += 1
            self.labels[str(answer["label"])] += 1


class Victim:
    """A process that analyses, its private directories, and what it held at the start."""

    def __init__(self, directory: Path) -> None:
        """Start it and wait until it is ready."""
        self.directory = Path(tempfile.mkdtemp(dir=directory))
        self._errors = (directory / f"{self.directory.name}.log").open("w+b")
        environment = {
            **{name: os.environ[name] for name in ("PATH",) if name in os.environ},
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **{name: str(self.directory) for name in ("HOME", "TMPDIR", "GUARDIAN_WORK_DIR")},
            "PYTHONDONTWRITEBYTECODE": "1",
            "GUARDIAN_SANDBOX": os.environ.get("GUARDIAN_SANDBOX", "auto"),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzzing.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self.directory,
            env=environment,
        )
        self._held: dict[str, int] | None = None
        self._last: dict[str, int] = {}
        if self._line(_START_S) is None:
            raise RuntimeError(f"The analysing process did not start: {self.last_words()}")

    def analyse(self, path: Path, *, models: bool) -> dict[str, Any] | None:
        """Return its answer; None where it hangs.

        Raises:
            EOFError: It has ended.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(
                json.dumps({"path": str(path), "models": models}).encode() + b"\n"
            )
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EOFError from error
        answer = self._line(LIMIT_S)
        if answer:
            self._last = {name: answer[name] for name in ("descriptors", "threads", "children")}
            self._held = self._held or self._last
        return answer

    def _line(self, timeout_s: float) -> dict[str, Any] | None:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            return None
        line = self._process.stdout.readline()
        if not line:
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    def last_words(self) -> str:
        """Return the end of its log, for a crash."""
        self._process.wait(10)
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        return f"exit {self._process.returncode}: {text[-600:]}"

    def end(self, *, kill: bool = False) -> list[str]:
        """End it and return what it leaked and left."""
        assert self._process.stdin
        assert self._process.stdout
        if kill:
            self._process.kill()
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._errors.close()
        started = self._held or {}
        found = [
            f"{count - started[name]} {name}"
            for name, count in self._last.items()
            if count - started[name] > _SLACK
        ]
        found += [f"file {path.name}" for path in self.directory.rglob("*") if path.is_file()]
        shutil.rmtree(self.directory)
        return found


def run(plan: Plan, say: Any) -> dict[str, Any]:
    """Run all inputs and return the outcome as JSON values; `ok` only where no harm was done."""
    started, tally = time.monotonic(), Tally()
    _adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        directory = Path(name)
        contents = originals.make(directory)
        with Canary(directory / "canary.wav", contents["wav"]) as canary:
            lures = mutations.lures(str(canary.path), canary.port)
            material = mutations.Material(list(contents.values()), lures)
            numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
            for number in range(plan.inputs):
                numbers.put(number)
            threads = [
                threading.Thread(
                    target=_work, args=(plan, numbers, contents, material, directory, tally, say)
                )
                for _ in range(plan.processes)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        left = sorted(path.name for path in (directory / "inputs").iterdir())
    return _outcome(plan, tally, canary.touches, left, time.monotonic() - started)


def _work(
    plan: Plan,
    numbers: queue.SimpleQueue[int],
    contents: dict[str, bytes],
    material: mutations.Material,
    directory: Path,
    tally: Tally,
    say: Any,
) -> None:
    """Analyse inputs in one process until none is left; a new process follows one that ends."""
    inputs = directory / "inputs"
    inputs.mkdir(exist_ok=True)
    victim = Victim(directory)
    while not numbers.empty():
        try:
            number = numbers.get_nowait()
        except queue.Empty:
            break
        rng = random.Random(f"{plan.seed}:{number}")
        suffix = rng.choice(sorted(contents))
        path = inputs / f"{number}.{suffix}"
        path.write_bytes(mutations.mutate(contents[suffix], rng, material))
        models = number % WITH_MODELS == 0
        with tally.lock:
            tally.containers[suffix] += 1
        try:
            answer = victim.analyse(path, models=models)
        except EOFError:
            tally.crashes.append({"input": number, "error": victim.last_words()})
            victim = _replaced(victim, directory, tally, path, plan)
            continue
        if answer is None:
            tally.hangs.append(number)
            victim = _replaced(victim, directory, tally, path, plan)
            continue
        tally.count(answer, models=models)
        path.unlink()
        if number % 100 == 99:
            say(f"{number + 1} inputs")
    tally.leaks.extend(victim.end())


def _replaced(victim: Victim, directory: Path, tally: Tally, path: Path, plan: Plan) -> Victim:
    """Keep the input that did harm, and start anew."""
    if plan.keep:
        plan.keep.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, plan.keep / path.name)
    path.unlink()
    tally.leaks.extend(item for item in victim.end(kill=True) if item.startswith("file"))
    return Victim(directory)


def _adopt_orphans() -> None:
    """Make what killed processes leave behind our children, so that we can count it."""
    import ctypes  # noqa: PLC0415  # for this alone

    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def _processes_left() -> list[str]:
    """Return the names of children that live on, after a moment for those that are ending."""
    end = time.monotonic() + 5
    while True:
        names = []
        for listing in Path("/proc/self/task").glob("*/children"):
            for pid in listing.read_text().split():
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    names.append(Path(f"/proc/{pid}/comm").read_text().strip())
        if not names or time.monotonic() > end:
            return names
        time.sleep(0.2)


def _outcome(
    plan: Plan, tally: Tally, touches: list[str], left: list[str], seconds: float
) -> dict[str, Any]:
    processes = _processes_left()
    layers = sandbox.layers()
    harmless = not (tally.crashes or tally.hangs or tally.leaks or touches or left or processes)
    done = tally.analysed + sum(tally.refused.values())
    return {
        "ok": harmless and done == plan.inputs,
        "seed": plan.seed,
        "inputs": plan.inputs,
        "analysed": tally.analysed,
        "with_models": tally.with_models,
        "refused": dict(tally.refused.most_common()),
        "audio": dict(tally.audio.most_common()),
        "video": dict(tally.video.most_common()),
        "labels": dict(tally.labels.most_common()),
        "containers": dict(sorted(tally.containers.items())),
        "crashes": tally.crashes,
        "hangs": tally.hangs,
        "leaks": tally.leaks,
        "files_left": left,
        "processes_left": processes,
        "canary_touches": touches,
        "sandbox": {"landlock": layers.landlock, "namespaces": list(layers.namespaces)},
        "slowest_s": tally.slowest_s,
        "peak_mb": tally.peak_mb,
        "seconds": round(seconds, 1),
    }
