"""Measures of a detector from labels and log-likelihood ratios, with group-bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Metric = Callable[[Floats, Booleans], float]

#: Resamples behind every interval.
BOOTSTRAPS = 500
#: Bins of equal width in the expected calibration error.
ECE_BINS = 10
_LOWER, _UPPER = 2.5, 97.5


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; None where there is too little data for one."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def as_list(self) -> list[float | None]:
        """Return the bounds, rounded for print."""
        return [_rounded(self.low), _rounded(self.high)]


def auc(llr: Floats, fake: Booleans) -> float:
    """Return the area under the ROC curve; ties count half.

    Args:
        llr: Scores of shape (n,), higher means more likely manipulated.
        fake: Truth of shape (n,).

    Raises:
        ValueError: One class has no member.
    """
    positives, negatives = _counts(fake)
    order = np.argsort(llr, kind="stable")
    _, inverse, counts = np.unique(llr[order], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    total = float(ranks[fake[order]].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def eer(llr: Floats, fake: Booleans) -> float:
    """Return the equal error rate: misses and false alarms where their curves cross.

    Between two thresholds both rates are interpolated linearly.

    Raises:
        ValueError: One class has no member.
    """
    misses, alarms = _error_curves(llr, fake)
    gap = misses - alarms
    above = int(np.argmax(gap >= 0))
    if above == 0:
        return float(alarms[0])
    step = gap[above] - gap[above - 1]
    weight = -gap[above - 1] / step
    return float(misses[above - 1] + weight * (misses[above] - misses[above - 1]))


def _error_curves(llr: Floats, fake: Booleans) -> tuple[Floats, Floats]:
    """Return miss and false-alarm rates for thresholds from below all to above all scores."""
    positives, negatives = _counts(fake)
    order = np.argsort(llr, kind="stable")
    last = np.append(np.flatnonzero(np.diff(llr[order])), llr.size - 1)
    missed = np.cumsum(fake[order])[last]
    passed = np.cumsum(~fake[order])[last]
    misses = np.concatenate([[0.0], missed / positives])
    alarms = np.concatenate([[1.0], 1.0 - passed / negatives])
    return misses, alarms


def cllr(llr: Floats, fake: Booleans) -> float:
    """Return the cost of the log-likelihood ratios in bits; 1 is what no information costs.

    Source: Brümmer and du Preez, "Application-independent evaluation of speaker detection", 2006.

    Raises:
        ValueError: One class has no member.
    """
    _counts(fake)
    miss_cost = np.logaddexp(0.0, -llr[fake]).mean()
    alarm_cost = np.logaddexp(0.0, llr[~fake]).mean()
    return float((miss_cost + alarm_cost) / (2 * np.log(2)))


def min_cllr(llr: Floats, fake: Booleans) -> float:
    """Return Cllr after the best monotone recalibration (pool adjacent violators).

    Raises:
        ValueError: One class has no member.
    """
    positives, negatives = _counts(fake)
    order = np.lexsort((~fake, llr))
    posterior = isotonic(fake[order].astype(np.float64))
    with np.errstate(divide="ignore"):
        best = np.log(posterior) - np.log1p(-posterior) - np.log(positives / negatives)
    return cllr(best, fake[order])


def isotonic(values: Floats) -> Floats:
    """Return the non-decreasing sequence closest to `values` in the least-squares sense."""
    means: list[float] = []
    sizes: list[int] = []
    for value in values:
        means.append(float(value))
        sizes.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            size = sizes[-2] + sizes[-1]
            means[-2] = (means[-2] * sizes[-2] + means[-1] * sizes[-1]) / size
            sizes[-2] = size
            means.pop()
            sizes.pop()
    return np.repeat(means, sizes)


def probability(llr: Floats) -> Floats:
    """Return the probability at even prior that follows from each log-likelihood ratio."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -llr)))


def ece(llr: Floats, fake: Booleans) -> float:
    """Return the expected calibration error of the probabilities at even prior.

    Both classes get the same total weight, so that the share of fakes in a collection has no say.

    Raises:
        ValueError: One class has no member.
    """
    positives, negatives = _counts(fake)
    predicted = probability(llr)
    weight = np.where(fake, 0.5 / positives, 0.5 / negatives)
    bins = np.minimum((predicted * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weight * (predicted - fake), ECE_BINS)
    return float(np.abs(gaps).sum())


def fpr(llr: Floats, fake: Booleans, threshold: float) -> float:
    """Return the share of genuine items at or above the threshold.

    Raises:
        ValueError: There is no genuine item.
    """
    if fake.all():
        raise ValueError("There is no genuine item.")
    return float((llr[~fake] >= threshold).mean())


def bootstrap(
    metric: Metric,
    llr: Floats,
    fake: Booleans,
    groups: Sequence[str],
    *,
    depends_on: Sequence[bool] = (True, False),
    resamples: int = BOOTSTRAPS,
    seed: int = 0,
) -> Interval:
    """Return a metric with its 95 % interval from resampled groups.

    Whole groups (speakers, systems, sources) are drawn with replacement, separately among groups
    that hold genuine items and groups that hold fakes, because items of one group are alike. A
    resample on which the metric has no value is drawn again, at most ten times as many in all.
    There is no interval where a class that the metric depends on is one group alone: nothing is
    known of how groups differ.
    """
    try:
        value = metric(llr, fake)
    except ValueError:
        return Interval(None)
    names = np.asarray([f"{fake_}|{group}" for fake_, group in zip(fake, groups, strict=True)])
    members = [np.flatnonzero(names == name) for name in np.unique(names)]
    by_class = {truth: [m for m in members if fake[m[0]] == truth] for truth in (True, False)}
    if any(len(by_class[truth]) == 1 for truth in depends_on):
        return Interval(value)
    pools = [pool for pool in by_class.values() if pool]
    rng = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(10 * resamples):
        if len(values) == resamples:
            break
        drawn = [pool[i] for pool in pools for i in rng.integers(0, len(pool), len(pool))]
        chosen = np.concatenate(drawn)
        try:
            values.append(metric(llr[chosen], fake[chosen]))
        except ValueError:
            continue
    if len(values) < resamples:
        return Interval(value)
    low, high = np.percentile(values, [_LOWER, _UPPER])
    return Interval(value, float(low), float(high))


def summarise(
    llr: Floats, fake: Booleans, groups: Sequence[str], threshold: float
) -> dict[str, Any]:
    """Return every figure of a scored collection as plain data; None where there is no value."""
    at_threshold: Metric = lambda scores, truth: fpr(scores, truth, threshold)
    area = bootstrap(auc, llr, fake, groups)
    equal = bootstrap(eer, llr, fake, groups)
    hits = float((llr[fake] >= threshold).mean()) if fake.any() else None
    alarms = bootstrap(at_threshold, llr, fake, groups, depends_on=(False,))
    return {
        "n": int(llr.size),
        "bonafide": int((~fake).sum()),
        "spoof": int(fake.sum()),
        "auc": _rounded(area.value),
        "auc_ci": area.as_list(),
        "eer": _rounded(equal.value),
        "eer_ci": equal.as_list(),
        "cllr": _defined(cllr, llr, fake),
        "min_cllr": _defined(min_cllr, llr, fake),
        "ece": _defined(ece, llr, fake),
        "threshold": threshold,
        "fpr_at_threshold": _rounded(alarms.value),
        "fpr_at_threshold_ci": alarms.as_list(),
        "tpr_at_threshold": _rounded(hits),
    }


def _counts(fake: Booleans) -> tuple[int, int]:
    positives = int(fake.sum())
    negatives = int(fake.size) - positives
    if not positives or not negatives:
        raise ValueError("Both classes need at least one item.")
    return positives, negatives


def _defined(metric: Metric, llr: Floats, fake: Booleans) -> float | None:
    try:
        return _rounded(metric(llr, fake))
    except ValueError:
        return None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
