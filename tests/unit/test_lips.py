"""Following a mouth: where bursts begin, and what makes a mouth unusable."""

import itertools
from collections import Counter
from itertools import pairwise

import cv2
import numpy as np
import pytest

import workers.samples
from shared.agreement import MOUTH, load, smooth, stretches
from shared.decoder import DEFAULT_LIMITS
from shared.media import Frame, FrameReader, Sampling
from shared.models import Registry
from shared.probing import probe
from workers.video import lips
from workers.video.faces import FaceFinder
from workers.video.mouths import Mouths


@pytest.fixture(scope="module")
def finder():
    return FaceFinder(Registry(device="cpu", threads=1).session("face-finder", threads=1))


@pytest.fixture(scope="module")
def portrait():
    path = workers.samples.SAMPLES[0]
    media = probe(path)
    frames = FrameReader(path, media, media.of_kind("video")[0], Sampling(1), max_frames=1)
    return next(iter(frames)).image


def film(images, fps=25.0):
    return [Frame(number, number / fps, image) for number, image in enumerate(images)]


def test_what_was_looked_at_on_the_way_is_not_decoded_again(finder, monkeypatch):
    path = workers.samples.SAMPLES[0]
    media = probe(path)
    mouths = Mouths(
        path, media, media.of_kind("video")[0], finder, load(Registry(), MOUTH), DEFAULT_LIMITS
    )
    asked = []
    monkeypatch.setattr(lips, "bursts", lambda *_: [(0.1, 6.0), (4.0, 6.0)])
    monkeypatch.setattr(mouths, "_frames", lambda burst: asked.append(burst) or [])
    mouths.follow_on_the_way([(0.0, 6.0)], [])

    mouths.follow_where([1.0], [])

    assert asked == [(4.0, 6.0)]


def test_short_recordings_are_watched_from_end_to_end():
    assert lips.bursts([0.5, 4.0], 8.0) == [(0.0, 8.0)]


def test_without_faces_nothing_is_watched():
    assert lips.bursts([], 60.0) == []


def test_bursts_are_spread_and_lie_where_faces_were_seen():
    everywhere = lips.bursts(list(np.arange(60)), 60.0)
    late = lips.bursts(list(np.arange(40, 60)), 60.0)
    assert len(everywhere) == len(late) == lips.BURSTS
    assert all(one[0] + one[1] <= other[0] for one, other in pairwise(everywhere))
    assert late[0][0] >= 36


def test_in_long_recordings_bursts_lie_inside_the_stretches_that_are_heard():
    spans = stretches(1000.0)
    for start_s, length_s in lips.bursts(list(np.arange(0, 1000, 2.0)), 1000.0):
        assert any(a < start_s and start_s + length_s < b for a, b in spans)


def test_a_face_is_followed_where_it_moves_and_through_gaps_of_no_face(finder, portrait):
    moved = [
        cv2.warpAffine(portrait, np.array([[1.0, 0, n], [0, 1.0, n / 2]]), portrait.shape[1::-1])
        for n in np.linspace(-30, 30, 75)
    ]
    empty = [np.zeros_like(portrait)] * 12
    mouths = lips.watch(film([*moved, *empty, *moved]), finder, Counter())
    assert len(mouths) == 2
    assert mouths[0].start_s == 0
    assert mouths[1].start_s == pytest.approx(87 / 25, abs=0.13)
    for mouth in mouths:
        assert mouth.pictures.shape[1] == lips.MOUTH_PX**2
        np.testing.assert_allclose(mouth.pictures.std(axis=0).mean(), 0, atol=0.2)


def test_a_mouth_too_small_is_left_out_and_counted(finder, portrait):
    points = finder.find(portrait)[0].points
    share = 0.75 * lips.MIN_EYES_PX / float(np.linalg.norm(points[1] - points[0]))
    small = cv2.resize(portrait, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((320, 320, 3), dtype=np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    dropped = Counter()
    assert lips.watch(film([canvas] * 65), finder, dropped) == []
    assert dropped == {"mouth_too_small": 1}


@pytest.mark.parametrize(("turn", "followed"), [(0.3, 1), (0.5, 0)])
def test_a_face_seen_from_the_side_is_left_out_and_counted(finder, portrait, turn, followed):
    class Turned:
        """The real finder, with every nose so many eye gaps off the middle."""

        def find(self, image, side_px=None):
            found = finder.find(image, side_px)
            for face in found:
                eyes = face.points[:2]
                face.points[2] = eyes.mean(axis=0) + turn * (eyes[1] - eyes[0])
            return found

    dropped = Counter()
    mouths = lips.watch(film([portrait] * 75), Turned(), dropped)

    assert len(mouths) == followed
    assert dropped == Counter({} if followed else {"mouth_profile": 1})


def test_less_than_two_seconds_say_nothing(finder, portrait):
    dropped = Counter()
    assert lips.watch(film([portrait] * 40), finder, dropped) == []
    assert dropped == {"mouth_too_brief": 1}


def shaken(portrait, count=75):
    """Return what a camera sees of a photograph in an unsteady hand."""
    shake = smooth(np.random.default_rng(1).normal(size=(count, 3)), 2.0)
    side = portrait.shape[0]
    for dx, dy, turn in shake / shake.std(axis=0) * (0.02 * side, 0.02 * side, 1.2):
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), turn, 1.0)
        matrix[:, 2] += dx, dy
        yield cv2.warpAffine(portrait, matrix, portrait.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def speaking(portrait, points):
    """Return pictures of the same portrait with a dark mouth that opens and closes."""
    opened = smooth(np.random.default_rng(2).normal(size=(75, 1)), 1.5)[:, 0]
    middle, wide = points[3:].mean(axis=0), float(np.linalg.norm(points[4] - points[3]))
    for height in np.abs(opened / opened.std()) * 0.25 * wide:
        image = portrait.copy()
        axes = (round(0.3 * wide), max(1, round(height)))
        cv2.ellipse(image, tuple(int(n) for n in middle), axes, 0, 0, 360, (30, 20, 40), -1)
        yield image


def test_the_mouth_of_a_shaken_photograph_is_still(finder, portrait):
    (mouth,) = lips.watch(film(shaken(portrait)), finder, Counter())
    projection = load(Registry(), MOUTH)
    dropped = Counter()

    assert projection.movement(projection.components(mouth.pictures)) > lips.MIN_MOVEMENT
    assert lips.series([mouth], projection, dropped) == ()
    assert dropped == {"mouth_still": 1}


def test_a_mouth_that_opens_and_closes_is_followed_in_a_shaken_picture_too(finder, portrait):
    images = list(speaking(portrait, finder.find(portrait)[0].points))
    shaky = [next(itertools.islice(shaken(image), n, None)) for n, image in enumerate(images)]
    for pictures in (images, shaky):
        mouths = lips.watch(film(pictures), finder, Counter())
        assert lips.series(mouths, load(Registry(), MOUTH), Counter())


def test_captions_over_a_photograph_are_no_movement_of_its_mouth(finder, portrait):
    points = finder.find(portrait)[0].points
    top = int(points[3:, 1].mean() + 0.3 * (points[3:, 1].mean() - points[2, 1]))
    captioned = portrait.copy()
    captioned[top : top + 40] //= 4
    cv2.putText(
        captioned, "listen to me", (60, top + 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (255,) * 3, 2
    )
    pictures = [captioned if n % 50 < 40 else portrait for n in range(150)]
    noise = np.random.default_rng(5)
    grained = [
        np.clip(image + noise.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        for image in pictures
    ]
    (mouth,) = lips.watch(film(grained), finder, Counter())
    projection = load(Registry(), MOUTH)
    dropped = Counter()

    assert projection.movement(projection.components(mouth.pictures)) > lips.MIN_MOVEMENT
    assert lips.series([mouth], projection, dropped) == ()
    assert dropped == {"mouth_still": 1}
