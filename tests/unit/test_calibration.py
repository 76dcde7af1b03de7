"""What both detectors do with calibrated scores."""

import numpy as np
import pytest

from shared.calibration import STRETCH, one_of, smooth, stretches, unfamiliarity

pytestmark = pytest.mark.unit


def test_smoothing_keeps_a_constant():
    assert np.allclose(smooth(np.full(7, 2.0)), 2.0)
    assert smooth(np.array([4.0])).tolist() == [4.0]


@pytest.mark.parametrize("count", [1, 8, 23])
def test_few_values_are_one_stretch(count):
    assert [some.size for some in stretches(np.arange(count))] == [count]


@pytest.mark.parametrize("count", [24, 25, 61, 1000])
def test_stretches_overlap_by_half_and_leave_nothing_out(count):
    found = stretches(np.arange(count))
    assert {some.size for some in found} == {STRETCH}
    assert (found[0][0], found[-1][-1]) == (0, count - 1)
    steps = np.diff([some[0] for some in found])
    assert 0.5 * STRETCH - 1 <= steps.min() <= steps.max() <= 0.5 * STRETCH


def test_one_of_several_weighs_its_share_of_the_odds():
    assert one_of([1.5]) == pytest.approx(1.5)
    assert one_of([-2.0, np.log(9), np.log(3)]) == pytest.approx(np.log((np.exp(-2) + 12) / 3))


@pytest.mark.parametrize(("distance", "expected"), [(-9, 0), (1, 0.5), (2, 0.75), (3, 1), (90, 1)])
def test_unfamiliarity_runs_from_usual_to_unfamiliar(distance, expected):
    assert unfamiliarity(distance, 1.0, 3.0) == expected
