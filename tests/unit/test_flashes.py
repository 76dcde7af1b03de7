"""Flashes: what is lit is no other picture, and what is another picture is no flash."""

import numpy as np
import pytest

from workers.video import flashes

pytestmark = pytest.mark.unit
COUNT, AT = 40, 20


@pytest.fixture
def pictures():
    """A textured scene that moves two pixels a picture."""
    rng = np.random.default_rng(3)
    wide = np.kron(rng.uniform(20, 150, (4, 12)), np.ones((12, 12)))
    noise = rng.normal(0, 0.5, (COUNT, 48, 64))
    moved = np.stack([wide[:48, 2 * at : 2 * at + 64] for at in range(COUNT)])
    return np.clip(moved + noise, 0, 255).astype(np.uint8)


def lit(pictures, by, length, lines=slice(None)):
    out = pictures.astype(float)
    out[AT : AT + length, lines] += by
    return np.clip(out, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("length", [1, 3, flashes.LONGEST])
@pytest.mark.parametrize("by", [20, 90, 240])
@pytest.mark.parametrize("lines", [slice(None), slice(0, 20)])
def test_what_a_flash_lights_becomes_what_lies_between_its_neighbours(pictures, length, by, lines):
    mended, replaced = flashes.without(lit(pictures, by, length, lines))

    assert replaced == length
    untouched = np.r_[:AT, AT + length : COUNT]
    np.testing.assert_array_equal(mended[untouched], pictures[untouched])
    low, high = sorted((pictures[AT - 1].mean(), pictures[AT + length].mean()))
    assert low - 1 <= mended[AT : AT + length].mean() <= high + 1


def test_two_flashes_one_after_the_other_are_both_mended(pictures):
    twice = lit(pictures, 60, 2)
    twice[AT + 3 : AT + 5] = lit(pictures, 60, 5)[AT + 3 : AT + 5]

    assert flashes.without(twice)[1] == 4


def test_other_pictures_that_are_brighter_stay(pictures):
    foreign = pictures.copy()
    foreign[AT : AT + 4] = 255 - foreign[AT : AT + 4, ::-1] // 2

    mended, replaced = flashes.without(foreign)

    assert replaced == 0
    assert mended is foreign


@pytest.mark.parametrize("length", [flashes.LONGEST + 1, COUNT - AT])
def test_light_that_stays_on_is_no_flash(pictures, length):
    assert flashes.without(lit(pictures, 60, length))[1] == 0


def test_one_picture_and_none_that_change_are_left_as_they_are():
    still = np.full((5, 8, 8), 90, np.uint8)

    assert flashes.without(still)[1] == flashes.without(still[:1])[1] == 0
