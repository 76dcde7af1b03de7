"""A discrete-event simulation of one worker's queue, its pods and what KEDA makes of them.

Jobs come first in, first out from one queue to pods that work on one job each. Every few seconds
the autoscaler looks at the queue as KEDA and the HorizontalPodAutoscaler do: messages waiting and
in flight, divided by queueLength, within a tolerance, stabilisation windows and rate policies.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The HorizontalPodAutoscaler looks this often, and changes nothing within its tolerance.
HPA_PERIOD_S = 15.0
HPA_TOLERANCE = 0.1
#: EC2's notice before it takes a spot instance back: a job that ends within it is finished.
SPOT_NOTICE_S = 120.0


@dataclass(frozen=True)
class Scaling:
    """The values of keda/ that decide how many pods run; the defaults are the chart's."""

    messages_per_slot: int = 4
    min_pods: int = 0
    max_pods: int = 20
    polling_s: float = 15.0
    cooldown_s: float = 600.0
    up_stabilization_s: float = 0.0
    up_percent_per_30s: int = 100
    up_pods_per_30s: int = 4
    down_stabilization_s: float = 300.0
    down_pods_per_60s: int = 1
    down_percent_per_60s: int = 10


@dataclass(frozen=True)
class Cluster:
    """How long pods and nodes take, and how often spot nodes are taken back.

    Attributes:
        pod_start_s: From a pod's scheduling on a node that is there to its first receive.
        node_start_s: From the need of a node to its being ready.
        node_linger_s: How long an empty node is kept before it is given back.
        interruptions_per_hour: Spot interruptions of one node in an hour; 0 is on demand.
        redelivery_s: Until an interrupted job's message is visible again.
    """

    pod_start_s: float = 45.0
    node_start_s: float = 150.0
    node_linger_s: float = 60.0
    interruptions_per_hour: float = 0.0
    redelivery_s: float = 150.0


@dataclass
class Result:
    """What came out.

    Attributes:
        arrived_s, started_s, finished_s: Times of each job, by its arrival; `started_s` of an
            interrupted job is that of its last try.
        ticks_s, pods, queued: Pods that run or start, and messages that wait, at each look.
        node_s: Seconds of nodes that were paid for.
        busy_s: Seconds of pods that worked.
        interrupted: Jobs that a spot interruption made start again.
    """

    arrived_s: Floats
    started_s: Floats
    finished_s: Floats
    ticks_s: list[float] = field(default_factory=list)
    pods: list[int] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    node_s: float = 0.0
    busy_s: float = 0.0
    interrupted: int = 0

    @property
    def waits_s(self) -> Floats:
        """Seconds from each arrival to the start of its work."""
        return self.started_s - self.arrived_s


def simulate(
    arrivals_s: Floats,
    services_s: Floats,
    scaling: Scaling,
    cluster: Cluster,
    *,
    until_s: float = 0.0,
    seed: int = 0,
) -> Result:
    """Run the queue until its last job is done.

    Args:
        arrivals_s: Times at which jobs arrive, rising, in seconds.
        services_s: Seconds of work of each.
        scaling: The autoscaler's values.
        cluster: Its pods and nodes.
        until_s: Go on, and pay for what runs, at least until then.
        seed: Of the spot interruptions and of which pod is taken away.
    """
    return _Simulation(arrivals_s, services_s, scaling, cluster, seed).run(until_s)


class _Simulation:
    """The state of one run; a pod is an entry (free_at, job) of a heap, job -1 before its first."""

    def __init__(
        self,
        arrivals_s: Floats,
        services_s: Floats,
        scaling: Scaling,
        cluster: Cluster,
        seed: int,
    ) -> None:
        count = len(arrivals_s)
        self._scaling, self._cluster = scaling, cluster
        self._random = np.random.default_rng(seed)
        self._arrivals, self._services = arrivals_s.tolist(), services_s.tolist()
        self._started, self._finished = [math.nan] * count, [math.nan] * count
        self._next = 0
        self._retries: list[tuple[float, int]] = []
        self._pods: list[tuple[float, int]] = [(0.0, -1)] * scaling.min_pods
        self._leaving: list[float] = []  # ends of jobs of pods that were told to stop
        self._warm = deque[float]()  # nodes without a pod, by when they are given back
        self._wanted = _Recommendations(scaling)
        self._last_active = -math.inf
        self._result = Result(arrivals_s, np.empty(0), np.empty(0))

    def run(self, until_s: float) -> Result:
        tick_s = min(HPA_PERIOD_S, self._scaling.polling_s)
        now, next_hpa, next_poll = 0.0, 0.0, 0.0
        while now < until_s or not self._is_over(now):
            self._begin_jobs_until(now)
            waiting, in_flight = self._depth(now)
            if now >= next_poll:
                next_poll += self._scaling.polling_s
                self._activate(now, waiting + in_flight)
            if now >= next_hpa:
                next_hpa += HPA_PERIOD_S
                self._scale(now, waiting + in_flight)
            self._interrupt(now, tick_s)
            self._account(now, tick_s, waiting)
            now += tick_s
        result = self._result
        result.started_s, result.finished_s = np.array(self._started), np.array(self._finished)
        result.busy_s += float(np.sum(result.finished_s - result.started_s))
        return result

    def _is_over(self, now: float) -> bool:
        if self._next < len(self._arrivals) or self._retries or self._leaving:
            return False
        return all(free <= now or job < 0 for free, job in self._pods)

    def _begin_jobs_until(self, now: float) -> None:
        """Start every job that a pod is free for before `now`."""
        pods, arrivals, services = self._pods, self._arrivals, self._services
        started, finished = self._started, self._finished
        count, job = len(arrivals), self._next
        if self._retries:
            self._begin_retries_until(now)
        if not pods:
            return
        while job < count:
            arrival, free = arrivals[job], pods[0][0]
            start = arrival if arrival > free else free  # noqa: FURB136  # a call a job is slow
            if start >= now:
                break
            started[job] = start
            end = start + services[job]
            finished[job] = end
            heapq.heapreplace(pods, (end, job))
            job += 1
        self._next = job

    def _begin_retries_until(self, now: float) -> None:
        """Interrupted jobs come back at the head: their messages are older than what waits."""
        while self._retries and self._pods:
            visible, job = self._retries[0]
            start = max(visible, self._pods[0][0])
            if start >= now:
                return
            heapq.heappop(self._retries)
            self._started[job], self._finished[job] = start, start + self._services[job]
            heapq.heapreplace(self._pods, (self._finished[job], job))

    def _depth(self, now: float) -> tuple[int, int]:
        """Messages that wait and that are in flight."""
        arrived = self._next
        while arrived < len(self._arrivals) and self._arrivals[arrived] <= now:
            arrived += 1
        waiting = arrived - self._next + sum(1 for visible, _ in self._retries if visible <= now)
        # An interrupted job stays in flight until its visibility ends.
        hidden = sum(1 for visible, _ in self._retries if visible > now)
        in_work = sum(1 for free, job in self._pods if job >= 0 and free > now)
        return waiting, in_work + hidden + len(self._leaving)

    def _activate(self, now: float, messages: int) -> None:
        """KEDA's part: from zero to one pod, and back to zero after the cooldown."""
        if messages:
            self._last_active = now
            if not self._pods:
                self._add(now, 1)
        elif not self._scaling.min_pods and now - self._last_active >= self._scaling.cooldown_s:
            self._remove(now, len(self._pods))

    def _scale(self, now: float, messages: int) -> None:
        """The HorizontalPodAutoscaler's part: between one pod and the most."""
        present = len(self._pods)
        if not present:
            return
        share = messages / self._scaling.messages_per_slot
        wanted = present
        if abs(share / present - 1) > HPA_TOLERANCE:
            wanted = math.ceil(share)
        lowest = max(1, self._scaling.min_pods)
        allowed = self._wanted.settle(
            now, present, min(max(wanted, lowest), self._scaling.max_pods)
        )
        if allowed > present:
            self._add(now, allowed - present)
        elif allowed < present:
            self._remove(now, present - allowed)

    def _add(self, now: float, count: int) -> None:
        for _ in range(count):
            while self._warm and self._warm[0] < now:
                self._warm.popleft()
            delay = self._cluster.pod_start_s
            if self._warm:
                self._warm.pop()
            else:
                delay += self._cluster.node_start_s
            heapq.heappush(self._pods, (now + delay, -1))

    def _remove(self, now: float, count: int) -> None:
        """Kubernetes does not know who is busy: any pod goes, and finishes its job first."""
        for _ in range(count):
            index = int(self._random.integers(len(self._pods)))
            free, job = self._pods[index]
            self._pods[index] = self._pods[-1]
            self._pods.pop()
            if job >= 0 and free > now:
                heapq.heappush(self._leaving, free)
            else:
                self._warm.append(now + self._cluster.node_linger_s)
        heapq.heapify(self._pods)

    def _interrupt(self, now: float, tick_s: float) -> None:
        rate = self._cluster.interruptions_per_hour
        if rate <= 0 or not self._pods:
            return
        hit = self._random.random(len(self._pods)) < rate * tick_s / 3600
        if not hit.any():
            return
        kept = []
        for (free, job), is_hit in zip(self._pods, hit, strict=True):
            if not is_hit:
                kept.append((free, job))
            elif job >= 0 and free > now + SPOT_NOTICE_S:
                self._result.interrupted += 1
                self._result.busy_s += now + SPOT_NOTICE_S - self._started[job]
                visible = now + SPOT_NOTICE_S + self._cluster.redelivery_s
                heapq.heappush(self._retries, (visible, job))
        self._pods = kept
        heapq.heapify(self._pods)

    def _account(self, now: float, tick_s: float, waiting: int) -> None:
        while self._leaving and self._leaving[0] <= now:
            self._warm.append(heapq.heappop(self._leaving) + self._cluster.node_linger_s)
        while self._warm and self._warm[0] < now:
            self._warm.popleft()
        nodes = len(self._pods) + len(self._leaving) + len(self._warm)
        self._result.node_s += nodes * tick_s
        self._result.ticks_s.append(now)
        self._result.pods.append(len(self._pods) + len(self._leaving))
        self._result.queued.append(waiting)


class _Recommendations:
    """Stabilisation windows and rate policies of one HorizontalPodAutoscaler."""

    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling
        self._wanted = deque[tuple[float, int]]()
        self._changes = deque[tuple[float, int]]()

    def settle(self, now: float, present: int, wanted: int) -> int:
        """Return the number of pods that windows and policies allow now."""
        scaling = self._scaling
        self._wanted.append((now, wanted))
        longest = max(scaling.up_stabilization_s, scaling.down_stabilization_s)
        while self._wanted[0][0] < now - longest:
            self._wanted.popleft()
        up = min(pods for at, pods in self._wanted if at >= now - scaling.up_stabilization_s)
        down = max(pods for at, pods in self._wanted if at >= now - scaling.down_stabilization_s)
        if up > present:
            settled = min(up, self._ceiling(now, present))
        elif down < present:
            settled = max(down, self._floor(now, present))
        else:
            return present
        self._changes.append((now, settled - present))
        return settled

    def _ceiling(self, now: float, present: int) -> int:
        before = present - self._changed(now - 30, 1)
        by_percent = math.ceil(before * (1 + self._scaling.up_percent_per_30s / 100))
        return max(present, by_percent, before + self._scaling.up_pods_per_30s)

    def _floor(self, now: float, present: int) -> int:
        before = present - self._changed(now - 60, -1)
        by_percent = math.floor(before * (1 - self._scaling.down_percent_per_60s / 100))
        return min(present, by_percent, before - self._scaling.down_pods_per_60s)

    def _changed(self, since: float, sign: int) -> int:
        """Pods added (sign 1) or taken away (sign -1, then negative) since a time."""
        while self._changes and self._changes[0][0] <= since - 60:
            self._changes.popleft()
        return sum(change for at, change in self._changes if at > since and change * sign > 0)


def scaled_down(scaling: Scaling, factor: int) -> Scaling:
    """Return the values for a system `factor` times as small, for a quick look."""

    def smaller(pods: int) -> int:
        return 0 if pods == 0 else max(1, round(pods / factor))

    return replace(
        scaling,
        min_pods=smaller(scaling.min_pods),
        max_pods=smaller(scaling.max_pods),
        up_pods_per_30s=smaller(scaling.up_pods_per_30s),
        down_pods_per_60s=smaller(scaling.down_pods_per_60s),
    )
