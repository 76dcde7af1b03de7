"""From face scores to persons, probabilities and a timeline; crops kept in bounded memory."""

import itertools
import math

import cv2
import numpy as np
import pytest

from shared.errors import SetupError
from workers.video.album import MOST, SPREAD, Album, Shot, show
from workers.video.faces import Face
from workers.video.pooling import Calibration, Scored, pool, timeline

PARAMS = {
    "narrow": 1.1,
    "wide": 1.75,
    "scale": 1.0,
    "offset": -0.5,
    "face_scale": 0.8,
    "face_offset": -0.4,
    "llr_limit": 3.0,
    "spread": 0.3,
    "distance_usual": 1.5,
    "distance_unfamiliar": 2.5,
    "threshold": 1.0,
}
CALIBRATION = Calibration.from_params(PARAMS)


def faces_of(person, scores, distance=1.0):
    return [Scored(person, float(n), score, distance) for n, score in enumerate(scores)]


def test_a_missing_number_is_a_fault_of_the_installation():
    with pytest.raises(SetupError, match="spread"):
        Calibration.from_params({key: v for key, v in PARAMS.items() if key != "spread"})


def test_a_higher_score_means_more_likely_manipulated():
    low, high = (pool(faces_of(0, [s] * 5), CALIBRATION, 0.0) for s in (-1.0, 1.0))
    assert low.probability < 0.5 < high.probability
    assert high.llr == pytest.approx(0.5)


def test_a_person_is_judged_by_the_lowest_quarter_of_the_scores():
    scores = np.array([3.0] * 5 + [1.0, 2.0, 2.5])
    assert CALIBRATION.of_person(scores) == pytest.approx(1.5 - 0.5)


def test_a_person_manipulated_in_a_part_of_the_recording_is_not_judged_by_the_rest_of_it():
    calm, made = np.full(24, -1.0), np.full(12, 3.0)
    for scores in (np.r_[calm, made], np.r_[made, calm], np.r_[calm[:9], made, calm[9:]]):
        assert CALIBRATION.of_stretch(scores) == pytest.approx(-1.5)
        assert CALIBRATION.of_person(scores) >= math.log(math.exp(2.5) / 8)
    assert CALIBRATION.of_person(calm) == pytest.approx(-1.5)


@pytest.mark.parametrize("count", [1, 3, 4, 9, 25])
def test_no_face_that_looks_more_manipulated_reassures(count):
    scores = np.linspace(-1, 1, count)
    for raised in np.eye(count):
        assert CALIBRATION.of_person(scores + raised) >= CALIBRATION.of_person(scores)


def test_no_statement_is_stronger_than_the_limit():
    assert pool(faces_of(0, [50.0] * 4), CALIBRATION, 0.0).llr == pytest.approx(3.0)
    assert pool(faces_of(0, [-50.0] * 4), CALIBRATION, 0.0).llr == pytest.approx(-3.0)


def test_persons_are_scored_apart_and_one_manipulated_person_raises_the_recording():
    both = faces_of(0, [-1.5] * 6) + faces_of(1, [3.0] * 6)
    verdict = pool(both, CALIBRATION, 0.0)
    assert [person.llr for person in verdict.persons] == [-2.0, 2.5]
    assert verdict.llr == pytest.approx(math.log((math.exp(-2.0) + math.exp(2.5)) / 2), abs=1e-3)


def test_a_person_who_is_seen_for_a_stretch_counts_however_long_another_is_seen():
    anchor, guest = faces_of(0, [-1.5] * 300), faces_of(1, [3.0] * 8)
    verdict = pool(anchor + guest, CALIBRATION, 0.0)
    assert verdict.llr == pytest.approx(math.log((math.exp(-2.0) + math.exp(2.5)) / 2), abs=1e-3)


def test_a_passer_by_is_reported_but_does_not_count():
    verdict = pool(faces_of(0, [-1.5] * 20) + faces_of(1, [9.0]), CALIBRATION, 0.0)
    assert len(verdict.persons) == 2
    assert verdict.llr == pytest.approx(-2.0)


def test_an_unsteady_score_widens_the_interval():
    steady = pool(faces_of(0, [1.0] * 4), CALIBRATION, 0.0).interval
    shaky = pool(faces_of(0, [1.0] * 4), CALIBRATION, 1.0).interval
    assert shaky[0] < steady[0] < steady[1] < shaky[1]


@pytest.mark.parametrize(
    ("distance", "expected"), [(1.0, 0.25), (1.5, 0.5), (2.5, 1.0), (9.0, 1.0)]
)
def test_faces_unlike_the_training_data_are_marked(distance, expected):
    signals = pool(faces_of(0, [1.0] * 4, distance), CALIBRATION, 0.0).signals
    assert signals["out_of_distribution"] == pytest.approx(expected)


def test_the_timeline_covers_the_recording_and_follows_the_scores():
    points = timeline(
        faces_of(0, [-3.0] * 10 + [3.0] * 10), CALIBRATION, [*map(float, range(20)), 20.5]
    )
    assert points[0].start_s == 0
    assert points[-1].end_s == 20.5
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(points))
    assert points[2].probability < 0.2
    assert points[17].probability > 0.8


def test_time_without_a_face_is_left_out_of_the_timeline():
    faces = [Scored(0, time_s, 3.0, 1.0) for time_s in (2.0, 3.0, 8.0)]
    points = timeline(faces, CALIBRATION, [*map(float, range(12))])
    assert [(point.start_s, point.end_s) for point in points] == [(2, 3), (3, 4), (8, 9)]


def test_a_long_timeline_stays_short():
    points = timeline(faces_of(0, [0.0] * 1000), CALIBRATION, [*map(float, range(1001))])
    assert len(points) <= 240
    assert points[-1].end_s == 1000.0


FACE = Face((10, 10, 50, 50), 0.9, np.full((5, 2), 30, np.float32))


def test_the_album_keeps_the_most_and_least_suspicious_in_bounded_memory():
    album = Album()
    picture = np.zeros((64, 64, 3), np.uint8)
    for n in range(500):
        album.add(Shot(Scored(0, float(n), float(n % 97), 1.0), picture, picture))
    assert [shot.scored.score for shot in album.most] == [96.0] * MOST
    assert album.least[0].scored.score == 0
    times = [shot.scored.time_s for shot in album.spread]
    assert SPREAD // 2 <= len(times) <= SPREAD
    assert times[0] == 0
    assert times[-1] > 350


def test_evidence_is_a_picture_with_time_and_probability():
    album = Album()
    picture = np.full((64, 64, 3), 128, np.uint8)
    album.add(Shot(Scored(3, 1.25, 2.0, 1.0), picture, show(picture, FACE)))
    (item,) = album.evidence(CALIBRATION)
    decoded = cv2.imdecode(np.frombuffer(item.content, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (256, 256, 3)
    assert item.ref.start_s == 1.25
    assert item.ref.person == 3
    assert item.ref.probability == pytest.approx(1 / (1 + math.exp(-1.2)), abs=1e-3)
