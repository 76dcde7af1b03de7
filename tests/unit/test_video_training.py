"""What the face detector learns from: the split, the pseudo-fakes, the batches, the calibration."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from training.video_calibrate import calibrate
from training.video_crops import Clip, Crop, read_crops, save_crops
from training.video_data import SIDE_PX, Recipe, Source, batch, shrink
from training.video_fakes import Square, blend
from training.video_folds import HELD_BACK, folds
from training.video_photos import load_photos

FIVE = np.array([[35, 40], [65, 40], [50, 58], [38, 75], [62, 75]], dtype=np.float32)


def texture(seed, side=190):
    small = np.random.default_rng(seed).integers(0, 255, (12, 12, 3)).astype(np.uint8)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)


def crop(seed, clip="a.mp4"):
    return Crop(texture(seed), FIVE + 45, 100.0, clip, float(seed))


def clip(number, generator="", group=None):
    kind = "talking-head" if generator else "none"
    return Clip(f"{number}.mp4", bool(generator), kind, generator, group or f"g{number}", {})


@pytest.fixture
def square():
    return Square(texture(1), FIVE + 45, 100.0, redrawn=cv2.GaussianBlur(texture(1), (0, 0), 2))


def test_no_fold_learns_from_what_it_is_tested_on():
    generators = sorted({name for held in HELD_BACK for name in held})
    clips = [clip(n) for n in range(12)]
    clips += [clip(20 + n, name, f"g{n}") for n, name in enumerate(generators)]
    for fold, held in zip(folds(clips, 0), HELD_BACK, strict=True):
        assert {c.generator for c in fold.test if c.fake} == held
        assert not held & {c.generator for c in fold.train}
        assert not {c.group for c in fold.train} & {c.group for c in fold.test}
        assert {c.fake for c in fold.train} == {True, False}


def test_a_pseudo_fake_differs_from_its_original_and_keeps_its_size(square):
    for seed in range(20):
        fake = blend(square, [], np.random.default_rng(seed))
        assert fake.shape == square.image.shape
        assert fake.dtype == np.uint8
        assert not np.array_equal(fake, square.image)


def test_some_pseudo_fakes_are_redrawn_as_a_whole_and_most_keep_the_corners(square):
    made = [blend(square, [], np.random.default_rng(seed)) for seed in range(60)]
    whole = sum(np.array_equal(fake, square.redrawn) for fake in made)
    assert 5 <= whole <= 30
    without = replace(square, redrawn=None)
    assert not any(
        np.array_equal(blend(without, [], np.random.default_rng(seed)), square.redrawn)
        for seed in range(20)
    )


def test_a_swapped_face_comes_from_the_donor_and_stays_inside_the_face(square):
    donor = Square(np.full_like(square.image, 7), FIVE + 45, 100.0)
    lone = [blend(square, [], np.random.default_rng(seed)) for seed in range(60)]
    swapped = [
        fake
        for seed, alone in enumerate(lone)
        if not np.array_equal(fake := blend(square, [donor], np.random.default_rng(seed)), alone)
    ]
    assert 1 <= len(swapped) <= 20
    assert all(np.array_equal(fake[:8, :8], square.image[:8, :8]) for fake in swapped)


def test_a_batch_holds_as_many_of_each_as_the_recipe_says():
    crops = {f"{n}.mp4": [crop(n), crop(n + 50)] for n in range(6)}
    real = Source(crops, [clip(n) for n in range(3)], "group")
    photos = Source(crops, [clip(3)], "group")
    fakes = Source(crops, [clip(n, "X") for n in range(4, 6)], "generator")
    recipe = Recipe(batch=12, blended=3, published=4, photos=0.5)
    images, labels = batch(recipe, [real, photos], fakes, np.random.default_rng(0))
    assert images.shape == (12, SIDE_PX, SIDE_PX, 3)
    assert labels.sum() == 7
    again, _ = batch(recipe, [real, photos], fakes, np.random.default_rng(0))
    assert np.array_equal(images, again)


def test_a_face_and_its_redrawn_twin_shrink_alike():
    twin = crop(3)
    square = shrink(replace(twin, redrawn=(twin.image,)), np.random.default_rng(5))
    assert np.array_equal(square.image, square.redrawn)
    assert square.face_px <= twin.size


def test_crops_survive_the_cache(tmp_path):
    save_crops(tmp_path / "c.npz", [crop(1), crop(2)])
    first, second = read_crops(tmp_path / "c.npz")
    assert np.array_equal(first.image, crop(1).image)
    assert second.time_s == 2.0


def test_photographs_are_optional(tmp_path):
    assert load_photos(tmp_path) == {}
    (tmp_path / "real").mkdir()
    cv2.imwrite(str(tmp_path / "real" / "p.png"), texture(1))
    row = ["p.png", 10, 20, 110, 150, *FIVE.ravel().tolist()]
    (tmp_path / "utk_landmarks.json").write_text(json.dumps([row]))
    ((photo,),) = load_photos(tmp_path).values()
    assert photo.size == 130
    assert np.array_equal(photo.points, FIVE)


def test_calibration_orders_clips_and_bounds_what_is_said():
    clips = [clip(n, "X" if n % 2 else "") for n in range(40)]
    rng = np.random.default_rng(0)
    scores = {c.file: [list(rng.normal(2.0 * c.fake - 1, 1.0, 8))] for c in clips}
    fitted = calibrate(clips, scores, {c.file: [1.0] for c in clips})
    fake = np.array([c.fake for c in clips])
    assert fitted.llr[fake].mean() > 1 > -1 > fitted.llr[~fake].mean()
    assert np.abs(fitted.llr).max() <= np.log(20 / 2) + 1e-9
    assert (fitted.llr[~fake] >= fitted.params["threshold"]).mean() <= 0.15
