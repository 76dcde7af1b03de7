"""Window scores become bounded statements, a timeline that fits an item, and located findings."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.calibration import MAX_POINTS
from shared.errors import SetupError
from shared.models import Registry
from workers.audio import pipeline, pooling
from workers.audio.pooling import Calibration, Scored

pytestmark = pytest.mark.unit

PARAMS = {
    "scale": 1.0,
    "top_scale": 0.5,
    "offset": 0.0,
    "window_scale": 1.0,
    "window_offset": 0.0,
    "llr_limit": 4.0,
    "spread": 0.5,
    "distance_usual": 1.0,
    "distance_unfamiliar": 3.0,
    "threshold": 1.0,
}
CALIBRATION = Calibration.from_params(PARAMS)


def _windows(scores, hop_s=2.0):
    return [
        Scored(i * hop_s, i * hop_s + 4, 4.0, float(score), 1.0) for i, score in enumerate(scores)
    ]


def test_the_shipped_model_has_all_numbers():
    assert Calibration.from_params(Registry().entry(pipeline.MODEL).params).scale > 0


def test_a_missing_number_is_named():
    with pytest.raises(SetupError, match="llr_limit"):
        Calibration.from_params({k: v for k, v in PARAMS.items() if k != "llr_limit"})


def test_one_window_is_its_own_mean_and_top():
    assert pooling.pool(_windows([1.5]), CALIBRATION, 0.0).llr == 1.5


def test_a_spliced_sentence_weighs_more_than_its_share_of_time():
    quiet, spliced = [-2.0] * 16, [-2.0] * 12 + [3.0] * 4
    plain = pooling.pool(_windows(quiet), CALIBRATION, 0.0).llr
    raised = pooling.pool(_windows(spliced), CALIBRATION, 0.0).llr
    assert raised - plain > np.mean(spliced) - np.mean(quiet)


def test_a_synthetic_part_is_not_outvoted_by_the_genuine_rest():
    calm = np.full(40, -3.0)
    spliced = np.r_[calm, np.full(10, 3.0)]
    assert CALIBRATION.of_stretch(spliced) < 0 < CALIBRATION.of_recording(spliced)
    assert CALIBRATION.of_recording(calm) == pytest.approx(-3.0)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=60), st.floats(0, 5))
def test_statements_are_bounded_and_inside_their_interval(scores, shift):
    pooled = pooling.pool(_windows(scores), CALIBRATION, shift)
    assert abs(pooled.llr) <= CALIBRATION.llr_limit
    assert pooled.interval[0] <= pooled.llr <= pooled.interval[1]
    assert 0 < pooled.probability < 1


def test_instability_widens_the_interval():
    calm = pooling.pool(_windows([1.0]), CALIBRATION, 0.0).interval
    shaky = pooling.pool(_windows([1.0]), CALIBRATION, 2.0).interval
    assert shaky[0] < calm[0] < calm[1] < shaky[1]


@pytest.mark.parametrize("count", [1, 2, 239, 240, 241, 7200])
def test_the_timeline_is_bounded_ordered_and_without_overlap(count):
    points = pooling.timeline(_windows(np.sin(np.arange(count))), CALIBRATION)
    assert len(points) <= MAX_POINTS
    assert points[0].start_s == 0
    assert points[-1].end_s == (count - 1) * 2 + 4
    assert all(a.end_s <= b.start_s for a, b in pairwise(points))


def test_a_pause_is_left_out_of_the_timeline():
    windows = [Scored(0, 4, 4, 0, 1), Scored(60, 64, 4, 0, 1)]
    first, second = pooling.timeline(windows, CALIBRATION)
    assert (first.end_s, second.start_s) == (4, 60)


def test_a_synthetic_stretch_is_located():
    scores = [-3.0] * 10 + [4.0] * 5 + [-3.0] * 10
    (found,) = pooling.findings(_windows(scores), CALIBRATION)
    assert found.type == "synthetic_speech"
    assert 20 <= found.start_s <= 22
    assert 28 <= found.end_s <= 34


def test_a_single_window_is_told_as_one():
    (found,) = pooling.findings(_windows([4.0]), CALIBRATION)
    assert found.detail == "One window sounds synthetic."


def test_a_single_high_window_among_low_ones_is_no_finding():
    assert pooling.findings(_windows([-3.0] * 5 + [3.5] + [-3.0] * 5), CALIBRATION) == ()


def test_every_synthetic_stretch_is_told():
    scores = ([4.0] * 4 + [-4.0] * 4) * 60
    assert len(pooling.findings(_windows(scores), CALIBRATION)) == 60
