"""Evidence for a joint in a trail of pictures: what stands out, what goes on, other shots."""

import numpy as np
import pytest

from workers.video.joints import EVIDENCE, WEIGHTS, Trail
from workers.video.jumps import ALONE, FIRM
from workers.video.motion import REACH_PX, block_match
from workers.video.shots import same_shot, tone_change

SIDE = 64


def walk(places: list[int], seed: int = 1) -> np.ndarray:
    """A camera that looks at a smooth texture from the given places, in pixels from the left."""
    rng = np.random.default_rng(seed)
    wide = rng.normal(size=(SIDE, 400))
    for _ in range(6):
        wide = (wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1) + np.roll(wide, -1, 1)) / 4
    wide = 128 + 40 * wide / wide.std()
    cuts = np.stack([wide[:, place : place + SIDE] for place in places])
    return np.clip(cuts, 0, 255).astype(np.uint8)


def trail(places: list[int], elapsed: dict[int, float] | None = None) -> Trail:
    times = np.ones(len(places))
    for at, frames in (elapsed or {}).items():
        times[at] = frames
    return Trail(walk(places), times)


STEADY = list(range(30))


def test_an_ordinary_step_is_no_joint():
    assert trail(STEADY).joint(15) is None


def test_a_step_over_missing_frames_is_a_joint_of_one_shot():
    joint = trail([*range(15), *range(25, 40)]).joint(15)

    assert joint.likely > ALONE > FIRM
    assert joint.same_shot
    assert joint.frames > 2


def test_the_same_step_is_ordinary_when_the_times_say_that_frames_are_missing():
    places = [*range(15), *range(18, 33)]

    assert trail(places).joint(15) is not None
    assert trail(places, {15: 4.0}).joint(15) is None


def test_a_step_to_another_picture_is_a_joint_of_two_shots():
    other = np.uint8(20 + 0.3 * walk(STEADY, seed=5))

    joint = Trail(np.concatenate([walk(STEADY[:15]), other[:15]]), np.ones(30)).joint(15)

    assert joint.likely > ALONE
    assert not joint.same_shot


def portrait(seed: int, wall: int) -> np.ndarray:
    """Somebody before a grey wall, whose head moves from side to side."""
    texture = (walk([0], seed)[0] - 128.0) * 0.35
    row, column = np.mgrid[:SIDE, :SIDE]
    pictures = []
    for way in 3 * np.sin(np.arange(15) / 3):
        picture = np.full((SIDE, SIDE), float(wall))
        picture[(row > 46) & (np.abs(column - 32) < 24)] = 60
        picture[((column - 32 - way) / 13) ** 2 + ((row - 28) / 17) ** 2 < 1] = 150
        pictures.append(picture + texture)
    return np.uint8(pictures)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_two_people_before_walls_that_are_much_alike_are_two_shots(seed):
    pictures = np.concatenate([portrait(1, 130), portrait(seed, 155)])

    assert not Trail(pictures, np.ones(30)).joint(15).same_shot


@pytest.mark.parametrize("at", [0, 3, 26, 29])
def test_the_ends_are_not_judged(at):
    assert trail([*range(15), *range(40, 55)]).joint(at) is None


def test_every_evidence_has_its_weight():
    assert len(EVIDENCE) == WEIGHTS.size


def test_tiles_are_found_where_they_were_before():
    first, second = walk([10, 13])

    left, way = block_match(first, second)

    columns = way.reshape(SIDE // 8, SIDE // 8)[:, :-1]  # the last one comes from outside
    assert np.median(columns) == 3 <= REACH_PX
    assert np.median(left) == 0


@pytest.mark.parametrize("light", [1, 0.6, 0.3, 0.15])
def test_a_cut_is_one_while_the_picture_fades_and_a_step_is_none(light):
    first, second, other = (
        np.uint8(light * picture) for picture in (*walk([10, 13]), walk([90], seed=5)[0] // 2 + 40)
    )

    assert same_shot(first, second)
    assert not same_shot(first, other)


def test_tones_do_not_change_with_the_place_but_with_the_light():
    first, second = walk([10, 14])

    assert tone_change(first, second) < 0.1 < tone_change(first, first // 3)
