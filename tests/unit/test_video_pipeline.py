"""The video half end to end, on packaged samples and clips that the real ffmpeg makes here."""

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

import workers.samples
from shared.errors import NoVideoTrack, UndecodableVideo
from shared.models import Registry
from shared.probing import probe
from shared.records import Media, Outcome, Track
from shared.settings import Settings
from workers.video import consistency, pipeline, source
from workers.video.between import LONGEST_S
from workers.video.bound import bind

SAMPLES = Path(workers.samples.__file__).parent


@pytest.fixture(scope="module")
def detector():
    return pipeline.load(Registry(device="cpu", threads=1))


def make(path, *arguments):
    subprocess.run(["ffmpeg", "-y", "-v", "error", *arguments, str(path)], check=True)
    return path


def look(path, detector, **options):
    return pipeline.analyze(path, probe(path), detector, **options)


@pytest.fixture(scope="module")
def scored(detector):
    return look(SAMPLES / "bona_fide.mp4", detector)


def test_a_face_is_scored_with_persons_timeline_and_evidence(scored):
    half = scored.result
    assert half.outcome is Outcome.SCORED
    assert half.llr_interval[0] <= half.llr <= half.llr_interval[1]
    assert 0 < half.probability < 1
    assert [person.person for person in half.persons] == [0]
    assert half.coverage.faces == half.coverage.frames_sampled > source.ENOUGH_FRAMES - 1
    assert half.timeline[-1].start_s < half.timeline[-1].end_s == half.coverage.analysed_s
    assert {ref.name for ref in half.evidence} == {item.ref.name for item in scored.evidence}
    assert all(item.content.startswith(b"\xff\xd8") for item in scored.evidence)
    assert [model.name for model in half.models] == [
        pipeline.SCORER,
        pipeline.FINDER,
        "mouth-series",
    ]


def test_the_still_mouth_of_a_photograph_is_not_compared_and_counted(scored):
    assert scored.result.sync == ()
    assert scored.result.coverage.dropped["mouth_still"] == 1


def test_bursts_before_the_first_of_the_other_pictures_hold_up_nobody(tmp_path, detector):
    """As in most recordings of 30 to 80 s with as long groups as encoders make unasked."""
    looped = ("-stream_loop", "4", "-i", str(SAMPLES / "bona_fide.mp4"), "-an", "-vf")
    path = make(
        tmp_path / "a.mp4",
        *(*looped, "scale=640:360", "-c:v", "libx264", "-preset", "ultrafast"),
        *("-g", "250", "-sc_threshold", "0"),
    )

    half = look(path, detector, sync=True).result

    assert half.outcome is Outcome.SCORED
    assert half.coverage.dropped["mouth_still"] >= 1


def test_a_mouth_in_too_few_pictures_is_not_followed_and_counted(tmp_path, detector):
    slow = make(tmp_path / "a.mp4", "-i", str(SAMPLES / "bona_fide.mp4"), "-an", "-r", "5")

    half = look(slow, detector, sync=True).result

    assert half.sync == ()
    assert half.coverage.dropped["mouth_too_few_pictures"] >= 1


def test_the_same_file_gives_the_same_numbers(scored, detector):
    again = look(SAMPLES / "bona_fide.mp4", detector)
    assert again.result == scored.result
    assert [item.content for item in again.evidence] == [item.content for item in scored.evidence]


def test_no_picture_is_a_typed_error(tmp_path, detector):
    sound = make(tmp_path / "a.wav", "-f", "lavfi", "-i", "sine", "-t", "1")
    with pytest.raises(NoVideoTrack):
        look(sound, detector)


def test_a_picture_without_a_face_is_no_answer(tmp_path, detector):
    path = make(
        tmp_path / "t.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25", "-t", "2", "-an"
    )
    half = look(path, detector).result
    assert (half.outcome, half.reason) == (Outcome.NOT_APPLICABLE, "no_face")
    assert half.llr is None
    assert half.coverage.dropped["no_face"] == half.coverage.frames_sampled


def test_a_small_face_is_no_answer(tmp_path, detector):
    path = make(
        tmp_path / "s.mp4", "-i", str(SAMPLES / "bona_fide.mp4"), "-t", "1",
        "-vf", "scale=80:80,pad=240:160:80:40:gray", "-an",
    )  # fmt: skip
    half = look(path, detector, sync=False, sequence=False).result
    assert (half.outcome, half.reason) == (Outcome.NOT_APPLICABLE, "face_too_small")


def test_of_the_faces_beyond_the_largest_those_that_could_be_scored_are_counted(tmp_path, detector):
    small = "scale=100:-2,pad=320:240:110:60[small]"
    large = ";".join(
        f"[{n}]scale=320:240:force_original_aspect_ratio=increase,crop=320:240[{n}l]"
        for n in "abcde"
    )
    tiles = "[al][bl][cl][dl][el][small]xstack=inputs=6:grid=3x2"
    clip = make(
        tmp_path / "six.mp4",
        *("-t", "2", "-i", SAMPLES / "bona_fide.mp4", "-an", "-crf", "18"),
        *("-filter_complex", f"[0:v]split=6[a][b][c][d][e][f];{large};[f]{small};{tiles}"),
    )

    cover = look(clip, detector, sync=False, sequence=False).result.coverage

    assert cover.faces == 4 * cover.frames_sampled
    assert cover.dropped["too_many_faces"] == cover.frames_sampled
    assert cover.dropped["face_too_small"] == cover.frames_sampled


def test_a_blurred_face_is_no_answer(tmp_path, detector):
    path = make(
        tmp_path / "b.mp4", "-i", str(SAMPLES / "bona_fide.mp4"), "-t", "1",
        "-vf", "gblur=sigma=7", "-an",
    )  # fmt: skip
    half = look(path, detector, sync=False, sequence=False).result
    assert (half.outcome, half.reason) == (Outcome.NOT_APPLICABLE, "face_too_blurred")


def test_two_frames_are_too_few(tmp_path, detector):
    path = make(tmp_path / "f.mp4", "-i", str(SAMPLES / "bona_fide.mp4"), "-frames:v", "2", "-an")
    half = look(path, detector, sync=False, sequence=False).result
    assert half.reason == "too_few_frames"


def test_a_track_of_garbage_is_a_typed_error(tmp_path, detector):
    path = tmp_path / "g.mp4"
    content = bytearray((SAMPLES / "bona_fide.mp4").read_bytes())
    start = content.index(b"mdat") + 4
    content[start : start + 100_000] = bytes(100_000)
    path.write_bytes(bytes(content[:start]) + bytes(len(content) - start))
    media = Media(
        container="mov",
        duration_s=1.0,
        tracks=(Track(index=0, kind="video", codec="h264", width=64, height=64, frames=25),),
    )
    with pytest.raises(UndecodableVideo):
        pipeline.analyze(path, media, detector, sequence=False)


def test_no_second_of_the_sequence_is_examined_where_none_is_wanted(monkeypatch, scored, detector):
    path = SAMPLES / "bona_fide.mp4"
    monkeypatch.setattr(consistency, "GreyReader", None)  # nothing decodes a second time

    half = bind(Settings(sequence_s=0), detector, sync=False)(path, probe(path)).result

    assert half.llr == scored.result.llr
    assert "typical_step" not in half.signals
    assert half.signals.keys() < scored.result.signals.keys()


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """A minute of the sample, with a key picture every two seconds."""
    return make(
        tmp_path_factory.mktemp("long") / "long.mp4",
        *("-stream_loop", "-1", "-i", str(SAMPLES / "bona_fide.mp4"), "-t", "60", "-an"),
        *("-vf", "scale=320:-2", "-preset", "ultrafast", "-g", "50"),
    )


def test_of_a_long_recording_stretches_are_examined_and_faces_are_looked_for_in_all(
    long_clip, detector
):
    half = look(long_clip, detector, sync=False).result
    examined = half.coverage.dropped["pictures_not_examined"]
    whole = look(long_clip, detector, sync=False, sequence_s=60.0).result
    times = [item.start_s for item in half.timeline]

    assert 0.5 * 1500 < examined < 0.75 * 1500
    assert "pictures_not_examined" not in whole.coverage.dropped
    assert half.coverage.frames_sampled == half.coverage.faces >= source.ENOUGH_FRAMES
    assert min(times) < 5
    assert max(times) > 50
    assert half.llr == pytest.approx(whole.llr, abs=0.3)


def test_in_long_groups_of_pictures_faces_are_looked_for_between_the_key_pictures(
    tmp_path, detector
):
    path = make(
        tmp_path / "a.mp4",
        *("-stream_loop", "-1", "-i", str(SAMPLES / "bona_fide.mp4"), "-t", "49", "-an"),
        *("-vf", "scale=320:-2", "-preset", "ultrafast", "-g", "250", "-sc_threshold", "0"),
    )

    half = look(path, detector, sync=False).result

    assert half.coverage.dropped["pictures_not_examined"] > 500
    ends = [0.0, *(point.start_s for point in half.timeline), 49.0]
    assert max(b - a for a, b in pairwise(ends)) <= LONGEST_S + 0.1


def test_the_same_faces_are_looked_at_where_the_sequence_is_not_examined(
    long_clip, scored, detector
):
    for path, fleet in (
        (long_clip, look(long_clip, detector)),
        (SAMPLES / "bona_fide.mp4", scored),
    ):
        half = look(path, detector, sync=False, sequence=False).result

        assert "typical_step" not in half.signals
        assert half.coverage.frames_sampled == fleet.result.coverage.frames_sampled
        assert (half.llr, half.timeline) == (fleet.result.llr, fleet.result.timeline)


#: The sample, over and over, and a dark mouth that goes up and down in it, at [v].
SPEAKING = ("-stream_loop", "-1", "-i", str(SAMPLES / "bona_fide.mp4"))
MOUTH = (
    "color=0x301820:size=60x22:rate=25[mouth];"
    "[{sample}:v][mouth]overlay=x=183:y='276+9*sin(14*t)':eval=frame:shortest=1[v]"
)


def moving(path, duration_s):
    """The sample seen by an unsteady camera, and its mouth moves."""
    camera = ";[v]crop=360:360:x='20+15*sin(2*t)':y='20+15*sin(3*t)',noise=c0s=6:c0f=t[out]"
    return make(
        path,
        *(*SPEAKING, "-t", str(duration_s), "-filter_complex", MOUTH.format(sample=0) + camera),
        *("-map", "[out]", "-preset", "ultrafast", "-g", "50"),
    )


def test_mouths_are_the_same_with_a_decoder_of_their_own_and_on_the_way(tmp_path, detector):
    clip = moving(tmp_path / "short.mp4", 20)
    on_the_way, own = look(clip, detector).result, look(clip, detector, sequence=False).result

    assert on_the_way.sync
    assert on_the_way.sync == own.sync


def test_mouths_of_a_long_recording_are_followed_in_its_stretches(tmp_path, detector):
    half = look(moving(tmp_path / "longer.mp4", 32), detector).result

    assert len({series.start_s for series in half.sync}) == 2
    assert half.coverage.dropped["pictures_not_examined"] > 150


def test_mouths_are_followed_where_the_first_bursts_showed_none(tmp_path, detector):
    late = make(
        tmp_path / "late.mp4",
        *("-f", "lavfi", "-i", "color=gray:size=320x320:rate=25:duration=12"),
        *(*SPEAKING, "-filter_complex"),
        MOUTH.format(sample=1)
        + ";[v]scale=320:320,fps=25,trim=duration=12,setpts=PTS-STARTPTS,setsar=1[b];"
        "[0:v]setsar=1[a];[a][b]concat=n=2:v=1:a=0[out]",
        *("-map", "[out]", "-preset", "ultrafast"),
    )
    half = look(late, detector, sequence=False).result

    assert half.sync
    assert min(series.start_s for series in half.sync) > 11


def track(frames, fps=25.0):
    return Track(index=0, kind="video", codec="h264", frames=frames, fps=fps, width=64, height=64)


@pytest.mark.parametrize(
    ("frames", "asked", "every"), [(3000, 30, 30), (200, 30, 8), (10, 30, 1), (3000, 5, 13)]
)
def test_the_sample_rate_is_honoured_except_where_it_leaves_too_little_or_too_much(
    frames, asked, every
):
    media = Media(container="mov", duration_s=frames / 25, tracks=(track(frames),))
    assert source.sampling_for(media, track(frames), asked, 240).every == every
