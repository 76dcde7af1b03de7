"""What the queues page shows, sampled in the background so that pages cost the services little."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import BaseModel

from shared import depths, flags, presence
from shared.flags import Pause
from shared.jobs import JobStore
from shared.presence import Worker
from shared.records import JobStatus
from shared.rows import JobSummary
from shared.settings import QUEUES, Settings
from shared.telemetry import OLDEST_SECONDS, QUEUE_MESSAGES, RECENT_JOBS, warn_of
from workers import probe
from workers.console.tail import Tail
from workers.console.waiters import Waiters

#: Pause between two samples.
SAMPLE_S = 2.0
#: Pause between two looks at what changes slowly and costs more: workers, and who waits longest.
_SLOW_S = 5.0
#: How far back the history reaches.
HISTORY_S = 3600.0
#: Points of a sparkline.
_POINTS = 60
#: Window of the rates.
_RATE_S = 300.0
#: Newest jobs that live pages hear of.
_FEW = 50
#: Jobs whose length is averaged.
_LENGTHS = 20


class Point(BaseModel):
    """How much lay in a queue at one time; `ago_s` seconds ago."""

    ago_s: float
    messages: int


class QueueView(BaseModel):
    """One queue as people see it."""

    queue: str
    name: str
    visible: int
    in_flight: int
    delayed: int
    dead: int
    paused: Pause | None
    oldest_s: float | None
    done_per_min: float | None
    eta_s: float | None
    backlog_media_s: float | None
    history: list[Point]


class Overview(BaseModel):
    """The queues, the rates and the workers at one time."""

    at: datetime
    queues: list[QueueView]
    arrivals_per_min: float
    mean_media_s: float | None
    workers: list[Worker]
    probes: list[probe.Answer] = []
    stale_s: float = 0.0


@dataclass
class Board:
    """Samples of the last hour, and those who wait for the next one."""

    settings: Settings
    clock: Callable[[], float] = time.monotonic
    overview: Overview | None = None
    version: int = 0
    tail: Tail = field(init=False)
    _taken_s: float = 0.0
    _depths: deque[tuple[float, dict[str, int]]] = field(default_factory=deque)
    _arrivals: deque[tuple[float, int]] = field(default_factory=deque)
    _lengths: dict[str, float] = field(default_factory=dict)
    _counted: int = 0
    #: At each sample: its time, the jobs made so far, and the messages of the uploads queue.
    _taken: deque[tuple[float, int, int]] = field(default_factory=deque)
    _oldest: dict[str, float] = field(default_factory=dict)
    _waiters: Waiters = field(default_factory=Waiters)
    _workers: list[Worker] = field(default_factory=list)
    _slow_s: float = float("-inf")
    _next: asyncio.Event = field(default_factory=asyncio.Event)
    left: bool = False

    def __post_init__(self) -> None:
        """Begin with an empty tail."""
        self.tail = Tail(JobStore(self.settings), self.clock)

    @property
    def recent(self) -> list[JobSummary]:
        """The newest jobs."""
        return self.tail.rows[:_FEW]

    async def run(self) -> None:
        """Sample until cancelled; a sample that fails is logged, and the next one tries again."""
        async with asyncio.TaskGroup() as readers:
            readers.create_task(self.tail.run())
            readers.create_task(self._sample_on())

    async def _sample_on(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.sample)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next must come
                warn_of("sample_failed", error)
            event, self._next = self._next, asyncio.Event()
            event.set()
            await asyncio.sleep(SAMPLE_S)

    def leave(self) -> None:
        """Let go of those who wait: nothing comes any more."""
        self.left = True
        self._next.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait for the next sample, or so long."""
        if self.left:
            return
        event = self._next
        try:
            await asyncio.wait_for(event.wait(), timeout_s)
        except TimeoutError:
            return

    def sample(self) -> Overview:
        """Measure once.

        Raises:
            ServiceUnavailable: A service could not be reached.
        """
        store = JobStore(self.settings)
        now, now_s = datetime.now(UTC), self.clock()
        rows = depths.measure(self.settings)
        self._take_arrivals(now_s)
        held = {row.name: row.visible + row.in_flight + row.delayed for row in rows}
        self._depths.append((now_s, held))
        while now_s - self._depths[0][0] > HISTORY_S:
            self._depths.popleft()
            self._taken.popleft()
        self._taken.append((now_s, self.tail.arrived, held[self.settings.queue("uploads")]))
        self._measure_lengths(store)
        self._count_states()
        if now_s - self._slow_s > _SLOW_S:
            workers = presence.alive(self.settings, now)
            self._oldest, self._workers = self._waiters.look(store, now, workers), workers
            self._slow_s = now_s
        self._oldest["uploads"] = self._oldest_upload(now_s)
        pauses = flags.pauses(self.settings)
        self.overview = Overview(
            at=now,
            queues=[
                self._view(short, row, pauses.get(short), self._oldest.get(short), now_s)
                for short, row in zip(QUEUES, rows, strict=True)
            ],
            arrivals_per_min=round(self._arrival_rate(now_s) * 60, 2),
            mean_media_s=self._mean_media_s(),
            workers=self._workers,
            probes=list(probe.latest.values()),
        )
        self._taken_s = now_s
        self.version += 1
        return self.overview

    def current(self) -> Overview | None:
        """Return the last sample with its age."""
        if self.overview is None:
            return None
        age_s = round(self.clock() - self._taken_s, 1)
        return self.overview.model_copy(update={"stale_s": age_s})

    def _count_states(self) -> None:
        counts = Counter(row.status for row in self.tail.rows)
        for state in JobStatus:
            RECENT_JOBS.labels(state).set(counts[state])

    def _oldest_upload(self, now_s: float) -> float:
        """Age of the oldest upload that is no job yet, if the first to come is the first taken.

        SQS tells it to CloudWatch alone. What had come by an earlier sample is what had been taken
        by then and what lay there; if that is more than has been taken by now, some is left of it.
        """
        _, taken, _ = self._taken[-1]
        since_s = now_s
        for at_s, made, waiting in reversed(self._taken):
            if waiting == 0 or made + waiting <= taken:
                break
            since_s = at_s
        return round(now_s - since_s, 1)

    def _take_arrivals(self, now_s: float) -> None:
        """Count the jobs that were created since the last sample."""
        arrived = self.tail.arrived
        self._arrivals.append((now_s, arrived - self._counted))
        self._counted = arrived
        while now_s - self._arrivals[0][0] > _RATE_S:
            self._arrivals.popleft()

    def _arrival_rate(self, now_s: float) -> float:
        """Jobs a second over the last minutes."""
        if not self._arrivals:
            return 0.0
        span_s = max(SAMPLE_S, now_s - self._arrivals[0][0] + SAMPLE_S)
        return sum(count for _, count in self._arrivals) / span_s

    def _measure_lengths(self, store: JobStore) -> None:
        """Learn the length of media of the latest finished jobs, a few a sample."""
        done = [row for row in self.recent if row.status is JobStatus.COMPLETE][:_LENGTHS]
        for row in [row for row in done if row.job_id not in self._lengths][:3]:
            media = next((job.media for job in store.readable([row.job_id])), None)
            self._lengths[row.job_id] = (media.duration_s if media else None) or 0.0
        while len(self._lengths) > _LENGTHS:
            self._lengths.pop(next(iter(self._lengths)))

    def _mean_media_s(self) -> float | None:
        known = [length for length in self._lengths.values() if length > 0]
        return round(sum(known) / len(known), 1) if known else None

    def _view(
        self,
        short: str,
        row: depths.QueueDepth,
        paused: Pause | None,
        oldest_s: float | None,
        now_s: float,
    ) -> QueueView:
        waiting = row.visible + row.in_flight + row.delayed
        done = self._done_rate(row.name, now_s)
        length_s = self._mean_media_s()
        for state in ("visible", "in_flight", "delayed", "dead"):
            QUEUE_MESSAGES.labels(short, state).set(getattr(row, state))
        OLDEST_SECONDS.labels(short).set(oldest_s or 0.0)
        return QueueView(
            queue=short,
            **row.model_dump(),
            paused=paused,
            oldest_s=oldest_s if waiting else None,
            done_per_min=None if done is None else round(done * 60, 2),
            eta_s=round(waiting / done, 1) if done and waiting and not paused else None,
            backlog_media_s=round(waiting * length_s, 1) if length_s and waiting else None,
            history=self._history(row.name, now_s),
        )

    def _done_rate(self, name: str, now_s: float) -> float | None:
        """Messages finished a second: what arrived less what the queue grew by."""
        window = [(at, held[name]) for at, held in self._depths if now_s - at <= _RATE_S]
        if len(window) < 2:  # noqa: PLR2004  # a difference needs two
            return None
        (begun_s, before), (_, after) = window[0], window[-1]
        arrived = sum(count for at, count in self._arrivals if at > begun_s)
        return max(0.0, (arrived + before - after) / (now_s - begun_s))

    def _history(self, name: str, now_s: float) -> list[Point]:
        """Thin the last hour to a few points, keeping the highest of each stretch."""
        highest: dict[int, int] = {}
        for at, held in self._depths:
            slot = int((now_s - at) / (HISTORY_S / _POINTS))
            highest[slot] = max(highest.get(slot, 0), held[name])
        return [
            Point(ago_s=slot * HISTORY_S / _POINTS, messages=count)
            for slot, count in sorted(highest.items(), reverse=True)
        ]
