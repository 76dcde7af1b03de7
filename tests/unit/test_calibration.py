"""What both detectors do with calibrated scores."""

import numpy as np
import pytest

from shared.calibration import smooth, unfamiliarity

pytestmark = pytest.mark.unit


def test_smoothing_keeps_a_constant():
    assert np.allclose(smooth(np.full(7, 2.0)), 2.0)
    assert smooth(np.array([4.0])).tolist() == [4.0]


@pytest.mark.parametrize(("distance", "expected"), [(-9, 0), (1, 0.5), (2, 0.75), (3, 1), (90, 1)])
def test_unfamiliarity_runs_from_usual_to_unfamiliar(distance, expected):
    assert unfamiliarity(distance, 1.0, 3.0) == expected
