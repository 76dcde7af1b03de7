"""What both halves do alike so that sound and mouth can be compared."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import SetupError
from shared.models import Registry
from shared.records import ModelRef, SyncSeries

#: Names of the two projections in the registry; they belong together, so versions must be equal.
MOUTH, SPEECH = "mouth-series", "speech-series"
#: Values a second of all series.
RATE_HZ = 25.0
#: Recordings up to this length are heard from end to end.
WHOLE_S = 80.0
#: Of longer ones, this many evenly spread stretches of this length are heard.
STRETCHES, STRETCH_S = 10, 8.0
#: Largest offset between sound and mouth that is searched; bursts keep this far from the edges.
SEARCH_S = 1.2
#: Deviation of the moving average that is taken out of all features: slow drift says nothing.
_DRIFT_S = 0.8
#: Steps of 1/255 for one standard deviation of a projected feature, and the step of 0.
_STEPS, _MIDDLE = 40.0, 128

Floats = NDArray[np.float64]
Span = tuple[float, float]


def stretches(duration_s: float | None) -> tuple[Span, ...]:
    """Return which stretches of a recording are heard, as starts and ends in seconds.

    Both halves know them from the length alone, before they have seen or heard anything.

    Args:
        duration_s: Length that the container states; None where it states none.
    """
    if duration_s is None or duration_s <= WHOLE_S:
        return ((0.0, WHOLE_S),)
    step = (duration_s - STRETCH_S) / (STRETCHES - 1)
    return tuple((n * step, n * step + STRETCH_S) for n in range(STRETCHES))


@dataclass(frozen=True)
class Projection:
    """A linear map from one side's features to the series that the other side's resemble.

    Attributes:
        basis: Features to components, shape (features, components).
        offsets: Which neighbours in time are looked at together, in steps of 1 / `RATE_HZ`.
        weights: Stacked components to series, shape (offsets x components, series).
        ref: Name, version and digest.
    """

    basis: Floats
    offsets: tuple[int, ...]
    weights: Floats
    ref: ModelRef

    def components(self, features: Floats) -> Floats:
        """Reduce features of shape (n, features) to components of shape (n, components)."""
        return np.asarray(features @ self.basis, dtype=np.float64)

    def project(self, components: Floats) -> Floats:
        """Return the series of one stretch, shape (n, series).

        Args:
            components: At `RATE_HZ`, shape (n, components).
        """
        return stack(steady(components), self.offsets) @ self.weights

    def movement(self, components: Floats) -> float:
        """Return how much of what the series show there is, before they are scaled to unit power.

        Small where a face holds still, however much noise or an unsteady hand moves it.
        """
        return float(np.std(self.project(components)) * np.std(quick(components)))


def load(registry: Registry, name: str) -> Projection:
    """Load one side's projection.

    Raises:
        ModelMissing: The file is not there.
        ModelCorrupt: Its digest is wrong.
        SetupError: It is no projection.
    """
    try:
        with np.load(io.BytesIO(registry.verify(name)), allow_pickle=False) as arrays:
            return Projection(
                basis=arrays["basis"].astype(np.float64),
                offsets=tuple(int(n) for n in arrays["offsets"]),
                weights=arrays["weights"].astype(np.float64),
                ref=registry.entry(name).ref,
            )
    except (KeyError, ValueError, OSError) as error:
        raise SetupError(f"The model {name!r} is no projection: {error}.") from error


def steady(components: Floats) -> Floats:
    """Take out slow drift, and scale to unit power over all components; shape stays."""
    moving = quick(components)
    return np.asarray(moving / max(float(moving.std()), 1e-9), dtype=np.float64)


def quick(components: Floats) -> Floats:
    """Take out slow drift; shape stays."""
    return components - smooth(components, _DRIFT_S * RATE_HZ)


def smooth(values: Floats, deviation: float) -> Floats:
    """Average over time with Gaussian weights; the ends stand in for what is beyond them.

    Args:
        values: Shape (n, columns).
        deviation: Of the Gaussian, in rows.
    """
    reach = max(1, round(3 * deviation))
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / deviation))
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    weights /= weights.sum()
    return np.column_stack([np.convolve(column, weights, "valid") for column in padded.T])


def stack(values: Floats, offsets: Sequence[int]) -> Floats:
    """Put rows and their neighbours side by side, shape (n, offsets x columns)."""
    rows = np.arange(len(values))
    return np.concatenate(
        [values[np.clip(rows + offset, 0, len(values) - 1)] for offset in offsets], axis=1
    )


def encode(values: Floats, start_s: float) -> tuple[SyncSeries, ...]:
    """Return one 8-bit series for each column of values of shape (n, series)."""
    steps = np.clip(np.round(values * _STEPS) + _MIDDLE, 0, 255).astype(int)
    return tuple(
        SyncSeries(rate_hz=RATE_HZ, start_s=round(start_s, 4), values=tuple(column))
        for column in steps.T.tolist()
    )


def decode(series: Sequence[SyncSeries]) -> Floats:
    """Return values of shape (n, series) from the series of one stretch."""
    return (np.array([one.values for one in series], dtype=np.float64).T - _MIDDLE) / _STEPS


def blocks(series: Sequence[SyncSeries]) -> list[list[SyncSeries]]:
    """Group series that belong to one stretch: same start, one after the other."""
    groups: list[list[SyncSeries]] = []
    for one in series:
        if groups and groups[-1][0].start_s == one.start_s:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups
