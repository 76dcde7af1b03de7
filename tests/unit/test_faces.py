"""Finding, judging and cutting out faces, on a frame of the packaged sample."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import workers.samples
from shared.media import FrameReader, Sampling
from shared.models import Registry
from shared.probing import probe
from workers.video import faces, quality
from workers.video.faces import Face, FaceFinder
from workers.video.tracks import MAX_TRACKS, Tracker, align, likeness_vector

SAMPLE = Path(workers.samples.__file__).with_name("bona_fide.mp4")
FIVE = np.array([[35, 40], [65, 40], [50, 58], [38, 75], [62, 75]], dtype=np.float32)


def face_at(x, y, side=100, turn=0.0):
    points = FIVE * side / 100 + (x, y)
    points[2, 0] += turn * 0.3 * side
    return Face((x, y, x + side, y + side), 0.9, points.astype(np.float32))


@pytest.fixture(scope="module")
def finder():
    return FaceFinder(Registry(device="cpu", threads=1).session("face-finder"))


@pytest.fixture(scope="module")
def picture():
    media = probe(SAMPLE)
    reader = FrameReader(SAMPLE, media, media.of_kind("video")[0], Sampling(every=1), max_frames=1)
    return next(iter(reader)).image


def test_one_face_is_found_with_its_points_inside_the_box(finder, picture):
    (face,) = finder.find(picture)
    left, top, right, bottom = face.box
    assert face.score > 0.7
    assert ((face.points > (left, top)) & (face.points < (right, bottom))).all()
    right_eye, left_eye, nose, *mouth = face.points
    assert right_eye[0] < nose[0] < left_eye[0]
    assert nose[1] < min(corner[1] for corner in mouth)


def test_finding_twice_gives_the_same_numbers(finder, picture):
    first, second = finder.find(picture), finder.find(picture)
    assert first[0].box == second[0].box
    assert np.array_equal(first[0].points, second[0].points)


def test_the_place_of_a_face_does_not_depend_on_the_size_of_the_picture(finder, picture):
    (small,) = finder.find(picture)
    (large,) = finder.find(cv2.resize(picture, None, fx=2, fy=2))
    assert np.allclose(np.array(large.box) / 2, small.box, atol=0.05 * small.size_px)


def test_nothing_is_found_in_noise_or_in_a_flat_picture(finder):
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    assert finder.find(noise) == []
    assert finder.find(np.full((240, 320, 3), 90, np.uint8)) == []


def test_overlap_is_one_for_the_same_box_and_nothing_apart():
    assert faces.overlap(face_at(0, 0), face_at(0, 0)) == pytest.approx(1)
    assert faces.overlap(face_at(0, 0), face_at(200, 0)) == 0
    assert faces.overlap(face_at(0, 0), face_at(50, 0)) == pytest.approx(1 / 3)


def test_a_square_beyond_the_border_is_mirrored_and_keeps_its_size(picture):
    square = faces.cut(picture, face_at(-30, -30), 1.5)
    assert square.shape == (150, 150, 3)
    assert faces.cut(picture, face_at(10, 10), 1.3, 128).shape == (128, 128, 3)


def test_blur_lowers_the_sharpness(finder, picture):
    (face,) = finder.find(picture)
    soft = cv2.GaussianBlur(picture, (0, 0), 6)
    assert faces.sharpness(soft, face) < quality.MIN_SHARPNESS < faces.sharpness(picture, face)


def test_unfit_faces_carry_the_reason(finder, picture):
    (face,) = finder.find(picture)
    assert quality.unfit(picture, face) is None
    assert quality.unfit(picture, face_at(50, 50, side=40)) == "face_too_small"
    assert quality.unfit(picture, face_at(50, 50, turn=1.0)) == "profile_only"
    blurred = cv2.GaussianBlur(picture, (0, 0), 6)
    assert quality.unfit(blurred, face) == "face_too_blurred"


@pytest.mark.parametrize(
    ("usable", "frames", "dropped", "code"),
    [
        (0, 20, {"no_face": 20}, "no_face"),
        (0, 20, {"face_too_small": 18, "profile_only": 2}, "face_too_small"),
        (1, 20, {"profile_only": 12}, "profile_only"),
        (0, 20, {"face_too_blurred": 20}, "face_too_blurred"),
        (2, 2, {}, "too_few_frames"),
        (2, 20, {"face_too_small": 1}, "too_few_frames"),
    ],
)
def test_the_non_answer_names_the_commonest_reason(usable, frames, dropped, code):
    assert quality.refusal(usable, frames, dropped).code == code


def test_enough_faces_are_no_reason_to_refuse():
    assert quality.refusal(quality.MIN_FACES, 5, {"face_too_small": 50}) is None


def test_alignment_takes_turn_and_scale_out(finder, picture):
    (face,) = finder.find(picture)
    matrix = cv2.getRotationMatrix2D(face.centre, 15, 0.9)
    turned = cv2.warpAffine(picture, matrix, picture.shape[1::-1])
    points = (face.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    other = Face(face.box, face.score, points)
    difference = align(picture, face, 48).astype(int) - align(turned, other, 48)
    assert np.abs(difference).mean() < 4
    assert likeness_vector(picture, face) @ likeness_vector(turned, other) > 0.97


def looks(seed):
    vector = np.random.default_rng(seed).normal(size=576).astype(np.float32)
    return vector / np.linalg.norm(vector)


def test_two_people_stay_two_through_frames_and_a_gap():
    tracker = Tracker()
    assert tracker.assign([(face_at(0, 0), looks(1)), (face_at(300, 0), looks(2))], 0.0) == [0, 1]
    assert tracker.assign([(face_at(295, 5), looks(2)), (face_at(8, 0), looks(1))], 1.0) == [1, 0]
    assert tracker.assign([(face_at(150, 90), looks(2))], 60.0) == [1]
    assert tracker.assign([(face_at(150, 90), looks(3))], 61.0) == [2]


def test_who_comes_after_a_crowd_is_a_person_too():
    tracker = Tracker()
    host = (face_at(0, 0), looks(1000))
    assert [tracker.assign([host], float(n))[0] for n in range(3)] == [0, 0, 0]
    crowd = [tracker.assign([(face_at(0, 0), looks(n))], 100.0 * n)[0] for n in range(1, 100)]
    assert crowd == list(range(1, 100))
    guest = (face_at(0, 0), looks(2000))
    assert [tracker.assign([guest], 20_000.0 + n)[0] for n in range(3)] == [100, 100, 100]
    assert tracker.assign([host], 30_000.0) == [0]
    assert len(tracker.tracks) == MAX_TRACKS
