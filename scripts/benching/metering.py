"""Counts what the networks of a pipeline spend, as the pipeline runs."""

from __future__ import annotations

import threading
import time
from typing import Any

from shared.models import Registry


class Meter:
    """Counts CPU time and time on the clock while at least one network runs.

    Networks run side by side, and the CPU time is that of the whole process: of two at once, it
    counts once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self.cpu_s, self.wall_s = 0.0, 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._running:
                self._began = time.perf_counter(), time.process_time()
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                self.wall_s += time.perf_counter() - self._began[0]
                self.cpu_s += time.process_time() - self._began[1]


class Metered:
    """An ONNX session that counts its runs, and what they spend on a meter of all."""

    def __init__(self, session: Any, meter: Meter) -> None:
        self._session = session
        self._meter = meter
        self.runs = 0

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network."""
        self.runs += 1
        with self._meter:
            return self._session.run(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Leave the rest to the session."""
        return getattr(self._session, name)


class MeteredRegistry(Registry):
    """A registry whose sessions are counted.

    Attributes:
        meters: The sessions by the name of the model.
    """

    meters: dict[str, Metered]
    meter: Meter

    def session(self, name: str, *, threads: int | None = None) -> Any:
        """Open a session and count what it does."""
        meter = self.__dict__.setdefault("meter", Meter())
        metered = Metered(super().session(name, threads=threads), meter)
        self.__dict__.setdefault("meters", {})[name] = metered
        return metered

    def reset(self) -> None:
        """Begin to count anew."""
        self.meter.reset()
        for metered in self.meters.values():
            metered.runs = 0

    def spent(self) -> tuple[float, float]:
        """Return CPU time and time on the clock of all networks, in seconds."""
        return self.meter.cpu_s, self.meter.wall_s
