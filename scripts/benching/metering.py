"""Counts what the networks of a pipeline spend, as the pipeline runs."""

from __future__ import annotations

import time
from typing import Any

from shared.models import Registry


class Metered:
    """An ONNX session that counts its runs, their CPU time and their time on the clock."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self.runs, self.cpu_s, self.wall_s = 0, 0.0, 0.0

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network; the CPU time is that of the whole process meanwhile."""
        began, cpu = time.perf_counter(), time.process_time()
        answer = self._session.run(*args, **kwargs)
        self.runs += 1
        self.cpu_s += time.process_time() - cpu
        self.wall_s += time.perf_counter() - began
        return answer

    def __getattr__(self, name: str) -> Any:
        """Leave the rest to the session."""
        return getattr(self._session, name)


class MeteredRegistry(Registry):
    """A registry whose sessions are counted.

    Attributes:
        meters: By the name of the model.
    """

    meters: dict[str, Metered]

    def session(self, name: str, *, threads: int | None = None) -> Any:
        """Open a session and count what it does."""
        meter = Metered(super().session(name, threads=threads))
        self.__dict__.setdefault("meters", {})[name] = meter
        return meter

    def reset(self) -> None:
        """Begin to count anew."""
        for meter in self.meters.values():
            meter.reset()

    def spent(self) -> tuple[float, float]:
        """Return CPU time and time on the clock of all networks, in seconds."""
        return (
            sum(meter.cpu_s for meter in self.meters.values()),
            sum(meter.wall_s for meter in self.meters.values()),
        )
