"""Tampering with the sequence of frames, on pictures made here: what is found and what is not."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.dense import GreyReader, Packets, read_packets
from shared.errors import Undecodable
from shared.probing import probe
from workers.video import sequence
from workers.video.consistency import TYPES, examine, judge
from workers.video.jumps import ALONE, LONELY, Jump, find_jumps
from workers.video.motion import measure
from workers.video.order import reorderings
from workers.video.packets import scheduled_keys

FPS = 25


def texture(seed: int) -> np.ndarray:
    """A smooth random picture, larger than what is shown of it."""
    noise = np.random.default_rng(seed).uniform(0, 255, (60, 60)).astype(np.float32)
    return np.clip(cv2.resize(noise, (480, 480), interpolation=cv2.INTER_CUBIC), 0, 255)


def shot(count: int, seed: int = 1) -> list[np.ndarray]:
    """A camera that wanders over a texture; its path never comes back to where it was."""
    surface = texture(seed)
    frames = []
    for t in range(count):
        x = 40 + 1.6 * t + 5 * np.sin(t / 7)
        y = 60 + 30 * np.sin(t / 23) + 0.4 * t
        move = np.float32([[1, 0, -x], [0, 1, -y]])
        frames.append(cv2.warpAffine(surface, move, (64, 48)))
    rng = np.random.default_rng(seed + 100)
    return [
        np.clip(frame + rng.normal(0, 0.4, frame.shape), 0, 255).astype(np.uint8)
        for frame in frames
    ]


def packets_for(count: int, *, times=None, keys=None, hidden=0) -> Packets:
    times = np.arange(count) / FPS if times is None else np.asarray(times)
    return Packets(
        pts_s=times,
        dts_s=times,
        duration_s=np.full(count, 1 / FPS),
        size_bytes=np.full(count, 1000),
        key=np.isin(np.arange(count), [0] if keys is None else keys),
        hidden=np.arange(count) < hidden,
    )


def judged(frames, times=None, **packets):
    times = np.arange(len(frames)) / FPS if times is None else times
    motion = measure(zip(times, frames, strict=True))
    return judge(packets_for(len(frames), times=times, **packets), [motion])


def found(frames, **options):
    return [(f.type, f.start_s, f.end_s) for f in judged(frames, **options).findings]


def near(frame: int):
    return pytest.approx(frame / FPS, abs=0.09)


def test_bars_around_a_picture_are_left_out():
    bare = measure((at / FPS, frame) for at, frame in enumerate(shot(20)))
    barred = [np.pad(frame, ((8, 16), (16, 8)), constant_values=16) for frame in shot(20)]
    motion = measure((at / FPS, frame) for at, frame in enumerate(barred))

    assert motion.pictures.shape == bare.pictures.shape
    assert (motion.pictures == bare.pictures).all()


def test_a_flash_is_no_cut_and_its_pictures_are_counted():
    frames = shot(90)
    for at in (20, 21, 60, 61, 62):
        frames[at] = np.clip(frames[at].astype(int) + 70, 0, 255).astype(np.uint8)

    seen = judged(frames)

    assert (seen.findings, seen.signals["shot_cuts"]) == ((), 0)
    assert seen.dropped == {"pictures_in_flashes": 5}


def test_an_untouched_moving_shot_has_no_findings():
    result = judged(shot(150))

    assert result.findings == ()
    assert result.signals["shot_cuts"] == 0
    assert result.frames_seen == 150


def test_a_frozen_run_is_found_where_it_is():
    frames = shot(150)

    tampered = frames[:60] + [frames[60]] * 20 + frames[80:]

    assert found(tampered) == [("frozen_run", near(60), near(80))]


def test_a_run_shown_twice_is_found_and_says_where_it_comes_from():
    frames = shot(150)

    result = judged(frames[:90] + frames[60:90] + frames[90:])

    assert [(f.type, f.start_s, f.end_s) for f in result.findings] == [
        ("duplicated_run", near(90), near(120))
    ]
    assert "those of 1.2 s before" in result.findings[0].detail
    assert "static_scene" in result.findings[0].ruled_out


def test_deleted_frames_are_found_inside_a_moving_shot():
    frames = shot(150)

    assert found(frames[:70] + frames[85:]) == [("deleted_frames", near(65), near(75))]


def test_a_foreign_segment_is_found():
    frames = shot(150)

    assert found(frames[:70] + shot(40, seed=5) + frames[70:]) == [
        ("inserted_segment", near(70), near(110))
    ]


def test_swapped_runs_are_found():
    frames = shot(150)

    assert found(frames[:50] + frames[75:95] + frames[50:75] + frames[95:]) == [
        ("reordered_run", near(50), near(95))
    ]


def test_a_run_played_backwards_is_found():
    frames = shot(150)

    assert found(frames[:50] + frames[50:80][::-1] + frames[80:]) == [
        ("reordered_run", near(50), near(80))
    ]


def test_a_part_at_half_the_speed_is_found():
    frames = shot(200)
    slow = [frame for frame in frames[60:100] for _ in range(2)]

    ((kind, start_s, end_s),) = found(frames[:60] + slow + frames[100:])

    assert kind == "speed_change"
    assert min(end_s, 140 / FPS) - max(start_s, 60 / FPS) > 0.5 * 80 / FPS


def test_a_cut_to_another_recording_is_counted_and_no_finding():
    second = [np.uint8(40 + frame * 0.5) for frame in shot(80, seed=9)]

    result = judged(shot(80) + second)

    assert result.findings == ()
    assert result.signals["shot_cuts"] == 1


def test_a_cut_away_while_time_goes_on_is_no_insertion():
    frames = shot(200)
    other = [np.uint8(40 + frame * 0.5) for frame in shot(40, seed=9)]

    assert found(frames[:60] + other + frames[100:]) == []


@pytest.mark.parametrize("level", [0, 128])
def test_a_still_picture_is_no_frozen_run(level):
    rng = np.random.default_rng(0)
    frames = [np.uint8(np.clip(level + rng.normal(0, 0.5, (48, 64)), 0, 255)) for _ in range(100)]

    assert found(frames) == []


def test_frames_that_an_encoder_shows_twice_are_no_findings():
    frames = shot(200)
    rng = np.random.default_rng(3)
    for at in range(2, 200):
        if rng.random() < 0.04:
            frames[at] = frames[at - 1]

    assert found(frames) == []


def test_pull_down_over_the_whole_recording_is_no_change_of_speed():
    frames = shot(160)

    assert found([frames[at * 4 // 5] for at in range(200)]) == []


def test_a_fade_to_black_is_no_finding():
    frames = shot(150)
    levels = np.clip((150 - np.arange(150)) / 25, 0, 1)

    assert found([np.uint8(f * level) for f, level in zip(frames, levels, strict=True)]) == []


def test_frames_left_out_with_true_times_are_no_deletion():
    frames, times = shot(150), np.arange(150) / FPS
    kept = [at for at in range(150) if at not in (40, 41, 42, 43, 90)]

    assert found([frames[at] for at in kept], times=times[kept]) == []


def test_moved_times_are_a_gap():
    frames, times = shot(150), np.arange(150) / FPS
    times[80:] += 1.2

    ((kind, start_s, end_s),) = found(frames, times=times)

    assert (kind, start_s, end_s) == ("pts_gap", near(79), pytest.approx(80 / FPS + 1.2))


def test_a_gap_in_a_still_scene_is_no_finding():
    times = np.arange(150) / FPS
    times[80:] += 1.2

    assert found([np.full((48, 64), 90, np.uint8)] * 150, times=times) == []


def test_a_screen_recording_with_many_gaps_is_no_finding():
    times = np.cumsum(np.where(np.arange(150) % 5 == 0, 0.8, 0.04))

    assert found(shot(150), times=times) == []


def test_steady_groups_that_become_others_are_a_change():
    keys = [*range(0, 60, 12), *range(60, 150, 20)]

    assert found(shot(150), keys=keys) == [("gop_change", near(55), near(65))]
    assert judged(shot(150), keys=keys).findings[0].detail == (
        "Up to here one picture in 12 is stored whole, from here on one in 20: two streams may "
        "have been joined here."
    )


def test_key_pictures_placed_by_the_encoder_are_no_change():
    assert found(shot(150), keys=[0, 11, 45, 52, 97, 120]) == []


def test_hidden_pictures_are_told_weakly_and_counted():
    result = judged(shot(150), hidden=25)

    (finding,) = result.findings
    assert finding.type == "edit_list"
    assert finding.strength <= 0.2
    assert result.dropped["hidden_pictures"] == 25


def test_findings_are_the_same_each_time_and_of_the_documented_types():
    frames = shot(150)
    tampered = frames[:60] + [frames[60]] * 15 + frames[60:90] + frames[75:]

    first, second = judged(tampered), judged(tampered)

    assert first == second
    assert {finding.type for finding in first.findings} <= set(TYPES)
    assert all(finding.ruled_out for finding in first.findings)


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_a_handful_of_pictures_is_no_problem(count):
    assert judged(shot(count)).findings == ()


def test_a_picture_smaller_than_a_tile_is_measured():
    motion = measure((at / FPS, np.full((2, 64), 10 * at, np.uint8)) for at in range(4))

    assert find_jumps(motion) == []


@pytest.fixture(scope="module")
def frozen_clip(tmp_path_factory) -> Path:
    """A real file: 140 frames of a moving shot, 25 of them frozen, compressed at CRF 30."""
    frames = shot(140)
    frames = frames[:60] + [frames[60]] * 25 + frames[85:]
    path = tmp_path_factory.mktemp("clips") / "frozen.mp4"
    subprocess.run(
        [
            *("ffmpeg", "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray"),
            *("-s", "64x48", "-r", str(FPS), "-i", "-", "-vf", "scale=320:240"),
            *("-c:v", "libx264", "-crf", "30", "-pix_fmt", "yuv420p", str(path)),
        ],
        input=np.stack(frames).tobytes(),
        check=True,
    )
    return path


def test_a_real_file_is_examined(frozen_clip):
    media = probe(frozen_clip)

    result = examine(frozen_clip, media, media.of_kind("video")[0])

    assert [(f.type, f.start_s, f.end_s) for f in result.findings] == [
        ("frozen_run", near(60), near(85))
    ]
    assert result.frames_seen == 140
    assert result.dropped == {}


def test_packets_are_read_without_decoding(frozen_clip):
    media = probe(frozen_clip)

    packets = read_packets(frozen_clip, media, media.of_kind("video")[0])

    assert len(packets) == 140
    assert packets.key[0]
    assert np.ptp(np.diff(np.sort(packets.pts_s))) < 1e-5
    assert packets.size_bytes.sum() < frozen_clip.stat().st_size
    assert not packets.cut_short


def test_reading_packets_stops_at_the_limit(frozen_clip):
    media = probe(frozen_clip)

    packets = read_packets(frozen_clip, media, media.of_kind("video")[0], max_packets=10)

    assert len(packets) == 10
    assert packets.cut_short


def test_small_grey_pictures_have_true_times(frozen_clip):
    media = probe(frozen_clip)

    frames = list(
        GreyReader(frozen_clip, media, media.of_kind("video")[0], max_side_px=64, max_frames=30)
    )

    assert len(frames) == 30
    assert frames[0][1].shape == (48, 64)
    assert [time_s for time_s, _ in frames] == pytest.approx([at / FPS for at in range(30)])


def test_a_track_that_is_not_there_is_undecodable(frozen_clip):
    media = probe(frozen_clip)
    track = media.of_kind("video")[0].model_copy(update={"index": 7})

    with pytest.raises(Undecodable):
        read_packets(frozen_clip, media, track)


def test_swapped_runs_are_found_where_one_of_their_joints_shows_nothing():
    frames = shot(150)
    still = frames[:50] + frames[75:95] + frames[50:75] + frames[95:]
    jumps = find_jumps(measure((at / FPS, frame) for at, frame in enumerate(still)))
    motion = measure((at / FPS, frame) for at, frame in enumerate(still))

    for missing in (50, 70, 95):
        kept = [jump for jump in jumps if jump.at != missing]
        assert [(s.start, s.stop) for s in reorderings(motion, kept)] == [(50, 95)]


def test_a_part_at_two_thirds_of_the_speed_is_told_by_its_rhythm():
    frames = shot(200)
    slow = [frames[60 + int(at * 0.67)] for at in range(60)]

    ((kind, start_s, end_s),) = found(frames[:60] + slow + frames[101:])

    assert kind == "speed_change"
    assert min(end_s, 120 / FPS) - max(start_s, 60 / FPS) > 0.5 * 60 / FPS


def test_frames_held_two_by_two_all_the_time_are_no_change_of_speed():
    frames = shot(160)
    held = [frames[at // 2 * 2] for at in range(160)]

    assert found(held) == []


def test_a_copy_is_found_though_every_second_frame_of_the_source_is_held():
    frames = shot(160)
    held = [frames[at // 2 * 2] for at in range(160)]

    kinds = [kind for kind, _, _ in found(held[:90] + held[60:90] + held[90:])]

    assert "duplicated_run" in kinds


@pytest.mark.parametrize(("period", "kinds"), [(9, set()), (40, {"duplicated_run"})])
def test_a_quick_movement_that_repeats_itself_is_no_copy_but_a_loop_is(period, kinds):
    rng = np.random.default_rng(3)
    cycle = shot(period)
    waving = [
        np.uint8(np.clip(cycle[at % period] + rng.normal(0, 0.4, (48, 64)), 0, 255))
        for at in range(160)
    ]

    assert {kind for kind, _, _ in found(waving)} & {"duplicated_run"} == kinds


def beside_a_loop(frames, period, wide):
    """Frames of which a part at the left shows another shot again and again."""
    loop, rng = shot(period, seed=11), np.random.default_rng(6)
    shown = np.stack(frames).astype(float)
    for at, frame in enumerate(shown):
        frame[:, :wide] = loop[at % period][:, :wide] + rng.normal(0, 0.4, (48, wide))
    return list(np.uint8(np.clip(shown, 0, 255)))


def calm(count, contrast=0.2):
    """A shot of little contrast, so that small steps lead from frame to frame."""
    return [np.uint8(127 + contrast * (frame - 127.0)) for frame in shot(count)]


@pytest.mark.parametrize("period", [25, 50])
@pytest.mark.parametrize("wide", [16, 32, 48])
def test_a_loop_beside_what_moves_is_no_copy_and_its_seams_are_no_joints(period, wide):
    assert found(beside_a_loop(calm(200), period, wide)) == []


@pytest.mark.parametrize("period", [25, 50])
def test_a_copy_is_found_beside_a_loop(period):
    frames = beside_a_loop(calm(150), period, wide=24)

    assert found(frames[:90] + frames[60:90] + frames[90:]) == [
        ("duplicated_run", near(90), near(120))
    ]


def test_deleted_frames_are_found_beside_a_loop():
    frames = calm(200, contrast=0.4)

    assert found(beside_a_loop(frames[:70] + frames[95:], 40, wide=16)) == [
        ("deleted_frames", near(65), near(75))
    ]


@pytest.mark.parametrize(("wide", "kinds"), [(8, []), (64, ["duplicated_run"])])
def test_what_loops_in_a_still_picture_is_no_copy_where_it_is_small(wide, kinds):
    looping = beside_a_loop([np.full((48, 64), 90.0)] * 180, 40, wide)

    assert [kind for kind, _, _ in found(looping)] == kinds


def test_a_rest_in_front_of_a_camera_is_no_frozen_run():
    frames = shot(150)
    rng = np.random.default_rng(8)
    rest = [
        np.uint8(np.clip(frames[60] + rng.normal(0, 0.9, frames[60].shape), 0, 255))
        for _ in range(20)
    ]

    assert "frozen_run" not in [kind for kind, _, _ in found(frames[:60] + rest + frames[61:])]


def test_a_flickering_lamp_after_a_cut_is_no_copy_while_somebody_moves():
    first, second = texture(1)[:48, :64], texture(2)[:48, :64]
    rng = np.random.default_rng(4)
    frames = []
    for at, moving in enumerate(shot(180, seed=7)):
        lamp = 8 * np.sin(2 * np.pi * at / 40) if at >= 50 else 0.0
        frame = (second if at >= 50 else first) + lamp + rng.normal(0, 0.4, first.shape)
        frame[8:40, 16:48] = 102 + 0.2 * moving[8:40, 16:48]
        frames.append(np.uint8(np.clip(frame, 0, 255)))

    assert found(frames) == []


def test_pictures_that_happen_to_be_shown_again_in_one_phase_are_no_change_of_speed():
    frames = shot(140)
    for at in (40, 44, 50, 54, 60):
        frames[at] = frames[at - 1]

    assert found(frames) == []


@pytest.mark.parametrize(("steps", "told"), [(2.0, False), (3.0, True)])
def test_a_single_missing_frame_is_no_finding(steps, told):
    frames = shot(150)
    motion = measure((at / FPS, frame) for at, frame in enumerate(frames))

    found = sequence.findings(motion, [Jump(70, 5.0, steps, firm=True, cut=False)])

    assert [finding.type for finding in found] == (["deleted_frames"] if told else [])


@pytest.mark.parametrize(("others", "told"), [((), True), ((100,), False), ((140,), True)])
def test_a_jump_that_is_less_clear_is_told_where_no_other_step_nearby_is_odd(others, told):
    frames = shot(150)
    motion = measure((at / FPS, frame) for at, frame in enumerate(frames))
    jumps = [Jump(70, (LONELY + ALONE) / 2, 5.0, firm=True, cut=False)]
    jumps += [Jump(at, -0.5, 2.0, firm=False, cut=False) for at in others]

    kinds = [finding.type for finding in sequence.findings(motion, jumps)]

    assert kinds == (["deleted_frames"] if told else [])


def test_jumps_at_key_pictures_time_and_again_are_no_joints():
    frames = shot(200)
    jumping = frames[:50] + frames[65:115] + frames[130:180]

    def types(keys):
        return [kind for kind, _, _ in found(jumping, keys=keys)]

    assert types([0]) == ["deleted_frames"] * 2
    assert types(range(0, len(jumping), 25)) == []


def test_a_joint_at_a_key_picture_is_told_where_the_others_do_not_jump():
    frames = shot(150)
    joined = frames[:75] + frames[90:]

    assert found(joined, keys=range(0, len(joined), 25)) == [("deleted_frames", near(70), near(80))]


@pytest.mark.parametrize(
    ("keys", "expected"), [([0], []), ([0, 30, 71], []), ([0, 25, 50, 61, 80], [25, 50])]
)
def test_key_pictures_that_come_at_equal_distances_are_scheduled(keys, expected):
    assert scheduled_keys(packets_for(100, keys=keys)).tolist() == [at / FPS for at in expected]


def test_a_segment_inside_a_movement_to_and_fro_is_found():
    surface, rng = texture(3), np.random.default_rng(3)
    swaying = []
    for at in range(120):
        move = np.float32([[1, 0, -60 - 3 * np.sin(at * np.pi / 2) - 0.2 * at], [0, 1, -60]])
        frame = cv2.warpAffine(surface, move, (64, 48)) + rng.normal(0, 0.4, (48, 64))
        swaying.append(np.uint8(np.clip(frame, 0, 255)))

    tampered = swaying[:62] + shot(20, seed=5) + swaying[62:]

    assert found(tampered) == [("inserted_segment", near(62), near(82))]
