"""Fit the projections of mouths and sound: regularised canonical correlation over all clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.agreement import Projection, stack, steady
from shared.records import ModelRef

#: Principal components that are kept of the mouth's pixels and of the sound's bands.
MOUTH_COMPONENTS, SOUND_COMPONENTS = 24, 10
#: Neighbours in time, in steps of 40 ms.
OFFSETS = (-4, -2, 0, 2, 4)
#: Series that both sides are projected to.
SERIES = 4
#: Share of the mean variance that is added to every variance.
RIDGE = 0.05
_NOBODY = ModelRef(name="", version="", sha256="")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Mouth and sound of one clip at the same times.

    Attributes:
        mouth: Pixels, shape (n, pixels).
        sound: Logarithms of power in bands, shape (n, bands).
    """

    mouth: Floats
    sound: Floats


def fit(pairs: Sequence[Pair]) -> tuple[Projection, Projection, Floats]:
    """Return the projections of mouths and of sound, and the correlations they reach here.

    The series of both sides are weighted by the root of their correlation, so that the
    correlation over all series together is the one that counts.
    """
    mouth_basis = _basis([pair.mouth for pair in pairs], MOUTH_COMPONENTS)
    sound_basis = _basis([pair.sound for pair in pairs], SOUND_COMPONENTS)
    mouths = np.concatenate([stack(steady(p.mouth @ mouth_basis), OFFSETS) for p in pairs])
    sounds = np.concatenate([stack(steady(p.sound @ sound_basis), OFFSETS) for p in pairs])
    to_white_mouths, to_white_sounds = _whitening(mouths), _whitening(sounds)
    cross = to_white_mouths @ (mouths.T @ sounds / len(mouths)) @ to_white_sounds.T
    left, correlations, right = np.linalg.svd(cross)
    correlations = correlations[:SERIES]
    scale = np.sqrt(correlations)
    return (
        Projection(mouth_basis, OFFSETS, to_white_mouths.T @ left[:, :SERIES] * scale, _NOBODY),
        Projection(sound_basis, OFFSETS, to_white_sounds.T @ right[:SERIES].T * scale, _NOBODY),
        correlations,
    )


def _basis(features: Sequence[Floats], components: int) -> Floats:
    """Return the directions in which features change most besides drift, shape (f, components)."""
    moments = sum((quick.T @ quick for quick in map(steady, features)), np.zeros(()))
    _, vectors = np.linalg.eigh(moments)
    return np.asarray(vectors[:, ::-1][:, :components])


def _whitening(values: Floats) -> Floats:
    """Return the matrix that makes columns uncorrelated and of unit variance, with a ridge."""
    moments = values.T @ values / len(values)
    moments += RIDGE * np.trace(moments) / len(moments) * np.eye(len(moments))
    return np.asarray(np.linalg.inv(np.linalg.cholesky(moments)))


def pack(projection: Projection) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a model file; single precision is plenty."""
    return {
        "basis": projection.basis.astype(np.float32),
        "offsets": np.array(projection.offsets, dtype=np.float32),
        "weights": projection.weights.astype(np.float32),
    }
