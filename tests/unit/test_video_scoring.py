"""The stability of the faces' scores: what is degraded, and how the change is measured."""

import numpy as np
import pytest

from workers.video.scoring import instability

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
    return [RNG.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(count)]


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
