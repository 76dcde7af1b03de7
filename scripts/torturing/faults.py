"""What goes wrong on the way to AWS, and when: a calm, passing faults, bursts of them, a cut."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["error", "throttle", "lost_answer", "half_answer", "broken_off", "cut"]

#: Share of calls that fail in a storm, and in the bursts of it.
USUAL = 0.06
BURST = 0.7
#: A burst outlives botocore's own retries, so that it reaches our code.
BURST_S = 2.5
#: Time between two bursts, at most, in seconds.
BURST_EVERY_S = 12.0
_KINDS: tuple[Fault, ...] = ("error", "throttle", "lost_answer", "half_answer", "broken_off")


@dataclass
class Weather:
    """Decides the fate of each call and each message; calm until a storm is begun.

    Attributes:
        rng: Where chance comes from.
        counts: How often what happened.
    """

    rng: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    stormy: bool = False
    _cut_until: float = 0.0
    _burst_until: float = 0.0
    _next_burst: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cut_off(self, seconds: float) -> None:
        """Let no call through for a while."""
        self.counts["cuts"] += 1
        self._cut_until = time.monotonic() + seconds

    @property
    def is_cut(self) -> bool:
        """Whether nothing gets through now."""
        return time.monotonic() < self._cut_until

    def fault(self) -> Fault | None:
        """Return what happens to the next call; None lets it through."""
        now = time.monotonic()
        with self._lock:
            if now < self._cut_until:
                return self._counted("cut")
            if not self.stormy:
                return None
            if now >= self._next_burst:
                self._burst_until = now + BURST_S
                self._next_burst = now + BURST_S + self.rng.uniform(2, BURST_EVERY_S)
            share = BURST if now < self._burst_until else USUAL
            return self._counted(self.rng.choice(_KINDS)) if self.rng.random() < share else None

    def happens(self, what: str, share: float) -> bool:
        """Toss a coin for one message; in a calm it never falls that way."""
        with self._lock:
            if not self.stormy or self.rng.random() >= share:
                return False
            self.counts[what] += 1
            return True

    def delay_s(self, longest_s: int) -> int:
        """Return a delay in whole seconds, as SQS counts."""
        with self._lock:
            return self.rng.randint(1, longest_s)

    def _counted(self, kind: Fault) -> Fault:
        self.counts[f"fault_{kind}"] += 1
        return kind
