"""What both halves do alike: which stretches are compared, and how features become series."""

import numpy as np
import pytest

from shared import agreement
from shared.errors import ModelMissing, SetupError
from shared.models import Registry


@pytest.fixture(scope="module")
def registry():
    return Registry(device="cpu", threads=1)


@pytest.mark.parametrize("duration_s", [None, 3.0, 80.0])
def test_short_recordings_are_heard_from_end_to_end(duration_s):
    assert agreement.stretches(duration_s) == ((0.0, 80.0),)


@pytest.mark.parametrize("duration_s", [80.5, 600.0, 14_400.0])
def test_of_long_recordings_ten_stretches_are_heard_from_begin_to_end(duration_s):
    spans = agreement.stretches(duration_s)
    assert len(spans) == agreement.STRETCHES
    assert spans[0][0] == 0
    assert spans[-1][1] == pytest.approx(duration_s)
    assert all(end - start == pytest.approx(8) for start, end in spans)


@pytest.mark.parametrize(("name", "features"), [("mouth-series", 576), ("speech-series", 40)])
def test_level_and_contrast_of_features_change_nothing(registry, name, features):
    projection = agreement.load(registry, name)
    moving = np.random.default_rng(1).normal(size=(150, features)).cumsum(axis=0)
    plain = projection.project(projection.components(moving))
    other = projection.project(projection.components(3 * moving + 7))
    assert plain.shape == (150, 4)
    np.testing.assert_allclose(other, plain, atol=1e-6)


def test_drift_and_stillness_are_no_movement(registry):
    projection = agreement.load(registry, "mouth-series")
    rng = np.random.default_rng(1)
    look = rng.normal(size=576)
    still = look + rng.normal(0, 0.01, size=(150, 576))
    pan = still + np.linspace(0, 1, 150)[:, None]
    open_and_shut = np.sin(np.arange(150) * 2 * np.pi * 4 / 25)[:, None] * projection.basis[:, 0]
    moved = [
        projection.movement(projection.components(pictures))
        for pictures in (still, pan, still + 10 * open_and_shut)
    ]
    assert max(moved[:2]) < 0.2 < moved[2]


def test_series_survive_their_eight_bits():
    values = np.random.default_rng(1).normal(0, 0.8, size=(100, 4))
    series = agreement.encode(values, 1.5)
    assert [one.start_s for one in series] == [1.5] * 4
    np.testing.assert_allclose(agreement.decode(series), values, atol=0.5 / 40 + 1e-9)


def test_series_of_one_stretch_belong_together():
    values = np.zeros((50, 4))
    both = (*agreement.encode(values, 0.0), *agreement.encode(values, 6.0))
    assert [len(block) for block in agreement.blocks(both)] == [4, 4]
    assert agreement.blocks(()) == []


def test_a_file_that_is_no_projection_says_so(registry):
    with pytest.raises(SetupError, match="no projection"):
        agreement.load(registry, "fusion")
    with pytest.raises(ModelMissing):
        agreement.load(registry, "nothing")


def test_both_sides_carry_one_version(registry):
    versions = {registry.entry(name).version for name in (agreement.MOUTH, agreement.SPEECH)}
    assert len(versions) == 1
