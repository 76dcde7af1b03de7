"""A face laid flat: what moves, turns, tilts or lights a photograph is undone, the rest is left."""

import cv2
import numpy as np
import pytest

from workers.video import flat

SIDE = 96


@pytest.fixture(scope="module")
def photograph():
    noise = np.random.default_rng(3).normal(size=(2 * SIDE, 2 * SIDE)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    return 120 + 40 * smooth / smooth.std()


def seen(photograph, count=40):
    """Return what a camera sees of it: moved by some pixels, tilted, lit differently."""
    rng = np.random.default_rng(4)
    corners = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], dtype=np.float32)
    for _ in range(count):
        aims = (corners + SIDE / 2 + rng.normal(0, 2, (4, 2))).astype(np.float32)
        plane = cv2.getPerspectiveTransform(aims, corners)
        light, contrast = rng.normal(0, 5), rng.normal(1, 0.05)
        yield cv2.warpPerspective(photograph, plane, (SIDE, SIDE)) * contrast + light


def inner(pictures):
    return pictures[:, 20:76, 20:76]


def test_a_photograph_is_laid_onto_itself(photograph):
    pictures = np.stack(list(seen(photograph))).astype(np.float32)

    before, after = (float(inner(p).std(axis=0).mean()) for p in (pictures, flat.lay(pictures)))

    assert after < 0.1 * before


def test_what_changes_in_one_place_alone_is_left(photograph):
    pictures = np.stack(list(seen(photograph))).astype(np.float32)
    pictures[::2, 60:72, 36:60] -= 40

    change = flat.lay(pictures).std(axis=0)

    assert change[62:70, 38:58].mean() > 10
    assert change[20:50, 20:76].mean() < 5


def test_pictures_without_anything_in_them_stay():
    np.testing.assert_allclose(flat.lay(np.full((5, SIDE, SIDE), 7.0, np.float32)), 7.0, atol=1e-3)
