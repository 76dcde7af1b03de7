"""The faces' scores: in which squares a face is seen, and how steady its score is."""

from types import SimpleNamespace

import numpy as np
import pytest

from workers.video.faces import Face
from workers.video.scoring import FaceScorer, instability

pytestmark = pytest.mark.unit
RNG = np.random.default_rng(3)


class Scorer:
    """Gives each crop the score that a function makes of it, and keeps what it was given."""

    def __init__(self, score):
        self.score, self.seen = score, []

    def score_crops(self, crops):
        self.seen.extend(crops)
        return np.array([self.score(crop) for crop in crops], np.float32), np.ones(len(crops))


def noise(count):
    return [RNG.integers(0, 256, (2, 64, 64, 3), np.uint8) for _ in range(count)]


class Session:
    """A network whose score is the mean blue of a square, its distance that of the left half."""

    def get_inputs(self):
        return [SimpleNamespace(name="faces", shape=("n", 3, 40, 40))]

    def run(self, _, given):
        blue = given["faces"][:, 2] * 128 + 127
        return blue.mean(axis=(1, 2)), blue[:, :, :20].mean(axis=(1, 2))


def test_a_face_is_seen_close_up_and_mirrored_with_what_is_round_it():
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[60:140, 60:100, 0] = 200  # the left half of the face, in blue
    face = Face((60.0, 60.0, 140.0, 140.0), 0.9, np.zeros((5, 2)))
    scorer = FaceScorer(Session(), 1.0, 2.0)
    views = scorer.cut(picture, face)

    assert views.shape == (2, 40, 40, 3)
    narrow, wide = views[..., 0] > 100
    assert narrow[:, :20].all()
    assert not narrow[:, 20:].any()
    assert wide[10:30, 20:30].all()
    assert wide.sum() == 200
    scores, distances = scorer.score_crops([views, np.zeros_like(views)])
    assert scores == pytest.approx([(100 + 25) / 2, 0], abs=1)
    assert distances == pytest.approx([(200 + 0) / 2, 0], abs=1)


@pytest.mark.parametrize(("count", "copies"), [(1, 2), (2, 2), (3, 3), (8, 8)])
def test_every_face_is_scored_again_once_and_a_single_one_in_both_ways(count, copies):
    scorer = Scorer(lambda _: 1.0)

    assert instability(scorer, noise(count), [0.5] * count) == pytest.approx(0.5)
    assert len(scorer.seen) == copies


def test_faces_are_compressed_and_shrunk_in_turn():
    crops = noise(4)
    scorer = Scorer(lambda crop: float(crop.std()))

    instability(scorer, crops, [0.0] * 4)

    left = [new.std() / old.std() for new, old in zip(scorer.seen, crops, strict=True)]
    assert min(left[0::2]) > 1.2 * max(left[1::2])  # compression keeps more grain than scaling


def test_faces_that_move_to_either_side_by_the_same_way_cancel_out():
    scores = [1.0, 0.0, -1.0, 0.0]
    scorer = Scorer(lambda _: 0.0)

    assert instability(scorer, noise(4), scores) == 0
    assert instability(scorer, [], []) == 0
