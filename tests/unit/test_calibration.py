"""What both detectors do with calibrated scores."""

import numpy as np
import pytest

from shared.calibration import one_of, smooth, stretches, unfamiliarity

pytestmark = pytest.mark.unit


def test_smoothing_keeps_a_constant():
    assert np.allclose(smooth(np.full(7, 2.0)), 2.0)
    assert smooth(np.array([4.0])).tolist() == [4.0]


@pytest.mark.parametrize(
    ("count", "lengths"), [(1, [1]), (19, [19]), (20, [10, 10]), (39, [13, 13, 13])]
)
def test_stretches_are_of_like_length_and_not_too_short(count, lengths):
    found = stretches(np.arange(count), 10)
    assert [len(some) for some in found] == lengths
    assert np.concatenate(found).tolist() == list(range(count))


def test_one_of_several_weighs_its_share_of_the_odds():
    assert one_of([1.5]) == pytest.approx(1.5)
    assert one_of([-2.0, np.log(9), np.log(3)]) == pytest.approx(np.log((np.exp(-2) + 12) / 3))


@pytest.mark.parametrize(("distance", "expected"), [(-9, 0), (1, 0.5), (2, 0.75), (3, 1), (90, 1)])
def test_unfamiliarity_runs_from_usual_to_unfamiliar(distance, expected):
    assert unfamiliarity(distance, 1.0, 3.0) == expected
