"""Searches the scaling values that meet a waiting time at the least cost, and sums up a plan."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from shared.records import MODALITIES, Modality
from workers.plan import Cluster, Floats, Result, Scaling, scaled_down, simulate
from workers.plan_load import arrivals, media_seconds

#: The search looks at systems with at most about so many jobs; larger ones are scaled down.
_SEARCH_JOBS = 12_000
_MESSAGES_PER_SLOT = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_COOLDOWNS_S = (120.0, 300.0, 600.0, 1200.0)
_HEADROOM = (1.1, 1.3, 1.6, 2.0, 3.0)
_POINTS = 240


@dataclass(frozen=True)
class Load:
    """What is uploaded: rate, length in minutes, and how uneven both are."""

    uploads_per_hour: float
    minutes: float
    hours: float
    burst: int = 0
    swing: float = 0.0
    spread: float = 0.6


@dataclass(frozen=True)
class Rate:
    """How fast one pod is.

    Attributes:
        realtime_factor: Seconds of media that it analyses in a second.
        overhead_s: Seconds of each job that do not grow with the recording.
        source: Where the numbers are from.
    """

    realtime_factor: float
    overhead_s: float
    source: str

    def services_s(self, media_s: Floats) -> Floats:
        """Return the seconds of work that recordings take."""
        return self.overhead_s + media_s / self.realtime_factor


@dataclass(frozen=True)
class WorkerPlan:
    """One worker's values, and what they lead to."""

    scaling: Scaling
    meets_target: bool
    result: Result

    def figures(self, price_per_hour: float) -> dict[str, Any]:
        """Return waiting times, pods and cost as JSON values."""
        result = self.result
        hours = result.node_s / 3600
        return {
            "values": values_of(self.scaling),
            "meets_target": self.meets_target,
            "wait_s": _percentiles(result.waits_s),
            "pods_most": max(result.pods, default=0),
            "pods_mean": round(float(np.mean(result.pods)), 2) if result.pods else 0.0,
            "node_hours": round(hours, 3),
            "utilisation": round(result.busy_s / result.node_s, 3) if result.node_s else 0.0,
            "cost": round(hours * price_per_hour, 2),
            "jobs_interrupted": result.interrupted,
            "pods_over_time": _over_time(result, result.pods),
            "queued_over_time": _over_time(result, result.queued),
        }


@dataclass(frozen=True)
class Plan:
    """Values for all workers, and what a load costs with them."""

    load: Load
    cluster: Cluster
    rates: dict[Modality, Rate]
    target_wait_s: float
    price_per_hour: float
    workers: dict[Modality, WorkerPlan] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the plan as one JSON document."""
        workers = {name: one.figures(self.price_per_hour) for name, one in self.workers.items()}
        uploads = len(self.workers["audio"].result.arrived_s)
        cost = sum(row["cost"] for row in workers.values())
        both = [one.result.finished_s for one in self.workers.values()]
        arrived = self.workers["audio"].result.arrived_s
        return {
            "load": {**asdict(self.load), "uploads": uploads},
            "cluster": asdict(self.cluster),
            "rates": {name: asdict(rate) for name, rate in self.rates.items()},
            "target_wait_s": self.target_wait_s,
            "price_per_hour": self.price_per_hour,
            "meets_target": all(row["meets_target"] for row in workers.values()),
            "both_halves_done_s": _percentiles(np.maximum(*both) - arrived),
            "node_hours": round(sum(row["node_hours"] for row in workers.values()), 3),
            "cost": round(cost, 2),
            "cost_per_1000_videos": round(1000 * cost / uploads, 2) if uploads else 0.0,
            "jobs_interrupted": sum(row["jobs_interrupted"] for row in workers.values()),
            "workers": workers,
        }

    def values(self) -> dict[str, Any]:
        """Return the chart's values of this plan."""
        scalers = {name: values_of(one.scaling) for name, one in self.workers.items()}
        return {"keda": {"scalers": scalers}}


def values_of(scaling: Scaling) -> dict[str, int]:
    """Return what a scaler of keda/values.yaml is set to."""
    return {
        "messagesPerSlot": scaling.messages_per_slot,
        "min": scaling.min_pods,
        "max": scaling.max_pods,
        "cooldown": int(scaling.cooldown_s),
    }


def make_plan(
    load: Load,
    rates: dict[Modality, Rate],
    cluster: Cluster,
    target_wait_s: float,
    price_per_hour: float,
    *,
    fixed: dict[Modality, Scaling] | None = None,
    seed: int = 0,
) -> Plan:
    """Simulate a load with the best values for each worker, or with fixed ones.

    Args:
        load: What is uploaded.
        rates: How fast a pod of each worker is.
        cluster: Pods and nodes.
        target_wait_s: The 95th percentile of the wait in each queue that is to be met.
        price_per_hour: Dollars that a node costs an hour.
        fixed: Values to simulate as they are, without a search.
        seed: Another draw of the same load.
    """
    plan = Plan(load, cluster, rates, target_wait_s, price_per_hour)
    times, media_s = _work(load, seed)
    until_s = load.hours * 3600
    for name in MODALITIES:
        services_s = rates[name].services_s(media_s)
        chosen = fixed[name] if fixed else _search(load, rates[name], cluster, target_wait_s, seed)
        one = _tried(times, services_s, chosen, cluster, target_wait_s, until_s, seed)
        if not fixed and not one.meets_target:
            one = _strengthened(times, services_s, one, cluster, target_wait_s, until_s, seed)
        plan.workers[name] = one
    return plan


def _work(load: Load, seed: int) -> tuple[Floats, Floats]:
    times = arrivals(
        load.uploads_per_hour, load.hours, burst=load.burst, swing=load.swing, seed=seed
    )
    return times, media_seconds(len(times), load.minutes, load.spread, seed)


def _tried(
    times: Floats,
    services_s: Floats,
    scaling: Scaling,
    cluster: Cluster,
    target_s: float,
    until_s: float,
    seed: int,
) -> WorkerPlan:
    result = simulate(times, services_s, scaling, cluster, until_s=until_s, seed=seed)
    wait_s = float(np.percentile(result.waits_s, 95)) if len(times) else 0.0
    return WorkerPlan(scaling, wait_s <= target_s, result)


def _search(load: Load, rate: Rate, cluster: Cluster, target_s: float, seed: int) -> Scaling:
    """Improve one value after the other on a system of bearable size, twice around."""
    factor = max(1, round((load.uploads_per_hour * load.hours + load.burst) / _SEARCH_JOBS))
    small = replace(
        load, uploads_per_hour=load.uploads_per_hour / factor, burst=round(load.burst / factor)
    )
    times, media_s = _work(small, seed)
    services_s = rate.services_s(media_s)
    mean_s = rate.overhead_s + 60 * load.minutes / rate.realtime_factor
    offered = load.uploads_per_hour / 3600 * mean_s * (1 + load.swing)
    until_s = load.hours * 3600
    seen: dict[Scaling, tuple[bool, float]] = {}

    def rank(scaling: Scaling) -> tuple[bool, float]:
        """Order by meeting the target, then by cost, or by the wait where it is missed."""
        if scaling not in seen:
            one = _tried(
                times, services_s, scaled_down(scaling, factor), cluster, target_s, until_s, seed
            )
            wait_s = float(np.percentile(one.result.waits_s, 95)) if len(times) else 0.0
            seen[scaling] = (
                not one.meets_target,
                one.result.node_s if one.meets_target else wait_s,
            )
        return seen[scaling]

    best = Scaling(max_pods=max(2, math.ceil(1.6 * offered) + 1))
    for _ in range(2):
        for candidates in _directions(offered):
            best = min([best, *(replace(best, **change) for change in candidates)], key=rank)
    return best


def _directions(offered: float) -> Iterator[list[dict[str, Any]]]:
    """Values to try, one setting at a time; `offered` is the number of pods kept busy."""
    yield [{"messages_per_slot": count} for count in _MESSAGES_PER_SLOT]
    yield [{"max_pods": max(2, math.ceil(offered * room) + 1)} for room in _HEADROOM]
    # Pods that wait for the first upload; more than the load needs are never worth it.
    yield [{"min_pods": pods} for pods in sorted({0, 1, math.ceil(offered / 2)})]
    yield [{"cooldown_s": seconds} for seconds in _COOLDOWNS_S]


def _strengthened(
    times: Floats,
    services_s: Floats,
    plan: WorkerPlan,
    cluster: Cluster,
    target_s: float,
    until_s: float,
    seed: int,
) -> WorkerPlan:
    """What held on the scaled-down system may just miss on the whole: add what brings it down."""
    for _ in range(4):
        scaling = plan.scaling
        stronger = replace(
            scaling,
            messages_per_slot=max(1, scaling.messages_per_slot * 2 // 3),
            max_pods=math.ceil(scaling.max_pods * 1.25),
            min_pods=min(math.ceil(scaling.min_pods * 1.25) + 1, scaling.max_pods),
        )
        plan = _tried(times, services_s, stronger, cluster, target_s, until_s, seed)
        if plan.meets_target:
            break
    return plan


def _percentiles(seconds: Floats) -> dict[str, float]:
    if not len(seconds):
        return {"mean": 0.0, "p50": 0.0, "p95": 0.0, "p99": 0.0}
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    named = {"mean": float(seconds.mean()), "p50": p50, "p95": p95, "p99": p99}
    return {name: round(float(value), 1) for name, value in named.items()}


def _over_time(result: Result, series: list[int]) -> list[list[float]]:
    """Thin a series to what a picture can show: times in seconds and the most since the last."""
    step = max(1, math.ceil(len(series) / _POINTS))
    starts = range(0, len(series), step)
    return [[result.ticks_s[at], max(series[at : at + step])] for at in starts]
