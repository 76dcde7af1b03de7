"""Probing and decoding, on files that the real ffmpeg makes here."""

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from shared import probing
from shared.containers import admit, sniff, sniff_file
from shared.decoder import Child, DecodeLimits
from shared.dense import GreyReader, read_packets
from shared.errors import (
    DecoderTimeout,
    EmptyObject,
    MediaTooComplex,
    NotMedia,
    TooLarge,
    Undecodable,
)
from shared.media import FrameReader, PcmReader, Sampling, plan_sampling, scaled_size
from shared.onepass import Bursts, OnePassReader
from shared.probing import probe
from shared.records import Media, Track
from workers.samples import SAMPLES
from workers.video.packets import find_group_changes


def make(path: Path, *arguments: str) -> Path:
    subprocess.run(["ffmpeg", "-y", "-v", "error", *arguments, str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Two seconds, 50 frames at 25/s, with a 440 Hz tone."""
    return make(
        tmp_path_factory.mktemp("media") / "clip.mp4",
        *("-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=2"),
        *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=2"),
        *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    )


def frames_of(path: Path, sampling: Sampling, **options):
    media = probe(path)
    return list(FrameReader(path, media, media.of_kind("video")[0], sampling, **options))


@pytest.mark.parametrize(
    ("suffix", "container", "arguments"),
    [
        ("mp4", "mov", ("-c:a", "aac")),
        ("mov", "mov", ("-c:a", "aac")),
        ("mkv", "matroska", ("-c:a", "aac")),
        ("webm", "matroska", ("-c:a", "libopus")),
        ("avi", "avi", ("-c:a", "mp3")),
        ("wav", "wav", ()),
        ("flac", "flac", ()),
        ("mp3", "mp3", ()),
        ("ogg", "ogg", ("-c:a", "libvorbis")),
        ("aac", "aac", ()),
        ("ts", "mpegts", ("-c:a", "aac")),
        ("aiff", "aiff", ()),
        ("flv", "flv", ("-c:a", "mp3")),
    ],
)
def test_the_container_is_told_by_content(tmp_path, suffix, container, arguments):
    path = make(
        tmp_path / f"sound.{suffix}",
        *("-f", "lavfi", "-i", "sine=frequency=300:sample_rate=44100:duration=0.5", *arguments),
    )
    disguised = path.rename(tmp_path / "name.that.says.nothing")

    assert sniff_file(disguised) == container
    assert probe(disguised).container == container


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"just some text, named clip.mp4",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile secret\n",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x00\x00\x00\x00WEBP",
        b"\x00\x00\x00\x18ftypavif",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"<html>",
    ],
)
def test_what_is_no_recording_is_refused(head):
    with pytest.raises(NotMedia):
        sniff(head)


def test_a_path_that_is_no_text_is_refused():
    with pytest.raises(NotMedia, match="UTF-8"):
        sniff_file(Path(os.fsdecode(b"caf\xe9.mp4")))


def test_admission_checks_size_before_content():
    with pytest.raises(EmptyObject):
        admit(0, b"", 10)
    with pytest.raises(TooLarge):
        admit(11, b"not even media", 10)
    with pytest.raises(NotMedia):
        admit(10, b"not media", 10)
    assert admit(10, b"fLaC", 10) == "flac"


def test_probe_tells_tracks(clip):
    media = probe(clip)

    (picture,), (sound,) = media.of_kind("video"), media.of_kind("audio")
    assert (picture.width, picture.height, picture.fps, picture.frames) == (320, 240, 25.0, 50)
    assert (sound.codec, sound.sample_rate) == ("aac", 44_100)
    assert media.duration_s == pytest.approx(2.0, abs=0.1)


def test_pcm_is_mono_16_khz_of_the_right_length_and_pitch(clip):
    media = probe(clip)
    reader = PcmReader(clip, media, media.of_kind("audio")[0], block_s=0.5)

    blocks = list(reader)

    samples = np.concatenate(blocks)
    assert {block.size for block in blocks[:-1]} == {8000}
    assert samples.size == pytest.approx(32_000, abs=1200)
    spectrum = np.abs(np.fft.rfft(samples[8000:24_000]))
    assert spectrum.argmax() * 16_000 / 16_000 == pytest.approx(440, abs=2)
    assert reader.decode_errors == 0


def test_every_nth_frame_comes_with_its_true_time(clip):
    frames = frames_of(clip, Sampling(every=10))

    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.pts_s for frame in frames] == pytest.approx([0.0, 0.4, 0.8, 1.2, 1.6])
    assert frames[0].image.shape == (240, 320, 3)


def test_variable_frame_rate_keeps_the_times_of_the_file(tmp_path):
    path = make(
        tmp_path / "vfr.mp4",
        *("-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=2"),
        *("-vf", "select='not(eq(n,3)+eq(n,4)+eq(n,5))'", "-fps_mode", "vfr"),
        *("-c:v", "libx264", "-pix_fmt", "yuv420p"),
    )

    times = [round(frame.pts_s, 2) for frame in frames_of(path, Sampling(every=1))]

    assert times[:5] == [0.0, 0.1, 0.2, 0.6, 0.7]


def test_rotated_video_is_handed_out_upright(tmp_path, clip):
    copy = ("-i", str(clip), "-c", "copy")
    try:
        path = make(tmp_path / "turned.mp4", "-display_rotation", "90", *copy)
    except subprocess.CalledProcessError:  # ffmpeg before 6.0 sets it by metadata
        path = make(tmp_path / "turned.mp4", *copy, "-metadata:s:v", "rotate=90")

    frames = frames_of(path, Sampling(every=25))

    assert frames[0].image.shape == (320, 240, 3)


def test_long_videos_are_sampled_at_key_frames():
    track = Track(index=0, kind="video", codec="h264", fps=30, duration_s=3600, frames=108_000)
    media = Media(container="mov", duration_s=3600, tracks=(track,))

    sampling = plan_sampling(media, track, every=30, max_frames=240)

    assert sampling.keyframes_only
    assert sampling.min_gap_s == pytest.approx(15, rel=0.01)


def test_the_cap_thins_the_sampling():
    track = Track(index=0, kind="video", codec="h264", fps=30, duration_s=100, frames=3000)
    media = Media(container="mov", duration_s=100, tracks=(track,))

    assert plan_sampling(media, track, every=30, max_frames=240) == Sampling(every=30)
    assert plan_sampling(media, track, every=30, max_frames=10) == Sampling(every=300)


def test_key_frames_only_reads_fewer_frames(clip):
    frames = frames_of(clip, Sampling(every=1, keyframes_only=True, min_gap_s=0.5))

    assert len(frames) == 1  # x264 puts one key frame at the start of a short clip


def test_large_pictures_are_scaled_down_to_even_sizes():
    track = Track(index=0, kind="video", codec="h264", width=3840, height=2161, rotation_deg=270)

    assert scaled_size(track, 1280) == (720, 1280)


def test_a_truncated_file_ends_in_a_typed_error(tmp_path, clip):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:600])

    with pytest.raises(Undecodable) as caught:
        probe(broken)
    assert str(tmp_path) not in caught.value.message


def test_damaged_data_is_counted(tmp_path, clip):
    data = bytearray(make(tmp_path / "clip.mkv", "-i", str(clip), "-c", "copy").read_bytes())
    rng = np.random.default_rng(1)
    for position in rng.integers(3000, len(data) - 2000, 60):
        data[position] ^= 0xFF
    path = tmp_path / "damaged.mkv"
    path.write_bytes(data)
    media = probe(path)
    reader = FrameReader(path, media, media.of_kind("video")[0], Sampling(every=1))

    frames = list(reader)

    assert frames
    assert reader.decode_errors > 0


def test_too_many_tracks_are_refused(tmp_path):
    maps = [argument for _ in range(33) for argument in ("-map", "0:a")]
    path = make(
        tmp_path / "tracks.mkv",
        *("-f", "lavfi", "-i", "sine=frequency=300:duration=0.2", *maps, "-c:a", "pcm_s16le"),
    )

    with pytest.raises(MediaTooComplex):
        probe(path)


def slowly(clip, seconds, *, busy):
    """A child that gives its first picture late: idle (it sleeps) or busy (it computes)."""
    work = "gblur=sigma=90:steps=6" if busy else "null"
    source = ("-re", "-i") if not busy else ("-i",)
    filters = f"loop=-1:size=50,scale=1280:960,{work},select=gt(t\\,{seconds})"
    return [
        *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "repeat+level+info"),
        *(*source, f"file:{clip}", "-an", "-vf", filters, "-f", "rawvideo", "pipe:1"),
    ]


def test_a_decoder_that_is_idle_too_long_is_killed_and_may_be_tried_again(clip):
    started = time.monotonic()

    with (
        Child(slowly(clip, 100, busy=False), DecodeLimits(wall_s=0.5)) as child,
        pytest.raises(DecoderTimeout),
    ):
        assert child.stdout.read() == b""
        child.finish()

    assert time.monotonic() - started < 20


@pytest.mark.alone
def test_a_decoder_that_is_busy_too_long_is_stopped_for_good(clip):
    limits = DecodeLimits(cpu_s=1)

    with Child(slowly(clip, 1000, busy=True), limits) as child:
        assert child.stdout.read() == b""
        assert child.finish() != 0

    assert child.errors == 1
    assert "more time or memory" in child.last_error()


def test_our_own_slowness_is_not_the_decoders():
    with Child(["yes"], DecodeLimits(wall_s=1.5)) as child:
        assert child.stdout.read(2) == b"y\n"

        time.sleep(2.0)  # the child has more for us all the time

        assert child.stdout.read(2) == b"y\n"
        assert child._process.poll() is None


def test_a_child_that_ends_when_its_time_does_is_gone_and_no_error():
    process = subprocess.Popen(["true"], process_group=0)
    os.waitpid(process.pid, 0)
    with process._waitpid_lock:  # as whoever waits for its end holds it
        Child._kill(process)
    process.wait()


def test_leaving_early_leaves_no_child(clip):
    media = probe(clip)
    for _ in FrameReader(clip, media, media.of_kind("video")[0], Sampling(every=1)):
        break

    ours = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in ours]
    assert "ffmpeg" not in names


@pytest.mark.parametrize("every", [1, 7])
def test_one_pass_sees_what_two_passes_see(every):
    media = probe(SAMPLES[0])
    (track,) = media.of_kind("video")
    sampling = Sampling(every=every)
    once = OnePassReader(
        SAMPLES[0], media, track, sampling, max_frames=40, grey_side_px=64, max_greys=60
    )
    large = list(FrameReader(SAMPLES[0], media, track, sampling, max_frames=40))
    small = list(GreyReader(SAMPLES[0], media, track, max_side_px=64, max_frames=60))

    both = list(zip(once, large, strict=True))

    assert all(one.pts_s == other.pts_s for one, other in both)
    assert all((one.image == other.image).all() for one, other in both)
    assert [time_s for time_s, _ in once.greys] == [time_s for time_s, _ in small]
    pictures = zip(once.greys, small, strict=True)
    assert all((one[1] == other[1]).all() for one, other in pictures)


def test_one_pass_over_a_stretch_has_the_times_of_the_recording():
    media = probe(SAMPLES[0])
    (track,) = media.of_kind("video")
    part = Sampling(every=5, start_s=1.0, length_s=1.0)
    stretch = OnePassReader(
        SAMPLES[0], media, track, part, max_frames=40, grey_side_px=64, max_greys=60
    )
    small = {
        round(time_s, 3): picture
        for time_s, picture in GreyReader(SAMPLES[0], media, track, max_side_px=64, max_frames=200)
    }

    frames = list(stretch)

    assert frames[0].pts_s == pytest.approx(1.0, abs=0.05)
    assert 1.9 <= stretch.greys[-1][0] <= 2.05
    assert all((picture == small[round(t, 3)]).all() for t, picture in stretch.greys)


def test_one_pass_that_is_left_early_leaves_no_thread_and_no_file():
    media = probe(SAMPLES[0])
    (track,) = media.of_kind("video")
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    pictures = iter(
        OnePassReader(
            SAMPLES[0], media, track, Sampling(every=1), max_frames=90, grey_side_px=64, max_greys=9
        )
    )
    next(pictures)
    pictures.close()

    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) == files


BURSTS = Bursts((range(3, 12, 2), range(20, 26)), side_px=160)


def with_bursts(every=5):
    media = probe(SAMPLES[0])
    (track,) = media.of_kind("video")
    once = OnePassReader(
        *(SAMPLES[0], media, track, Sampling(every=every)),
        max_frames=40,
        grey_side_px=64,
        max_greys=300,
        bursts=BURSTS,
    )
    return once, FrameReader(SAMPLES[0], media, track, Sampling(every=1), max_side_px=160)


def test_bursts_are_the_pictures_asked_for_with_their_times():
    once, every_one = with_bursts()
    with ThreadPoolExecutor(1) as beside:
        pending = beside.submit(lambda: list(once.burst_frames()))
        large = list(once)
        taken = pending.result(60)

    numbers = [number for burst in BURSTS.numbers for number in burst]
    pictures = list(every_one)
    assert [frame.index for _, frame in taken] == numbers
    assert [burst for burst, _ in taken] == [0] * 5 + [1] * 6
    for _, frame in taken:
        assert frame.pts_s == pictures[frame.index].pts_s
        assert (frame.image == pictures[frame.index].image).all()
    assert [frame.pts_s for frame in large] == [frame.pts_s for frame in pictures[::5][:40]]


def test_pictures_that_change_their_size_keep_their_times(tmp_path):
    """As a browser's recording of a call does; each picture is as bright as its number."""
    parts = []
    for part, size in enumerate(("160x120", "320x240", "160x120")):
        picture = f"color=gray:s={size}:r=25:d=1.08,geq=lum=16+2*(N+{27 * part}):cb=128:cr=128"
        source = ("-f", "lavfi", "-i", picture, "-output_ts_offset", str(1.08 * part))
        parts.append(make(tmp_path / f"{part}.ts", *source, "-c:v", "mpeg2video", "-q:v", "2"))
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    media = probe(whole)
    (track,) = media.of_kind("video")
    bursts = Bursts((range(3, 12, 2), range(22, 33)), side_px=160)
    once = OnePassReader(
        *(whole, media, track, Sampling(every=7)),
        max_frames=40,
        grey_side_px=64,
        max_greys=300,
        bursts=bursts,
    )

    with ThreadPoolExecutor(1) as beside:
        pending = beside.submit(lambda: list(once.burst_frames()))
        large = list(once)
        taken = pending.result(60)

    def number(picture):
        """What a picture's brightness says; limited range is 16 to 235."""
        return round(float(picture.mean()) * 219 / 255 / 2)

    assert len(once.greys) >= 79  # the decoder may drop the last picture before a change
    assert [frame.index for _, frame in taken][:9] == [*range(3, 12, 2), *range(22, 26)]
    start_s = once.greys[0][0]
    looked_at = [(frame.pts_s, frame.image) for frame in [*large, *(frame for _, frame in taken)]]
    for pts_s, picture in [*once.greys, *looked_at]:
        assert pts_s == pytest.approx(start_s + number(picture) / 25, abs=0.05)


@pytest.mark.parametrize(
    "title", ["n:0 pts_time:1.2.3", "n:0 pts_time:1e999", "n:0 pts_time:5000", "my [error] film"]
)
def test_tags_of_a_file_are_neither_times_nor_errors(tmp_path, title):
    tagged = ("-i", str(SAMPLES[0]), "-c", "copy", "-metadata", f"title={title}")
    path = make(tmp_path / "a.mp4", *tagged)
    media = probe(path)
    (track,) = media.of_kind("video")
    options = {"max_frames": 40, "grey_side_px": 64, "max_greys": 300}
    once = OnePassReader(path, media, track, Sampling(every=5), **options)

    assert [frame.pts_s for frame in once] == pytest.approx([n / 5 for n in range(40)], abs=0.01)
    assert once.decode_errors == 0
    assert frames_of(path, Sampling(every=25))[1].pts_s == pytest.approx(1.0)


def test_the_clock_of_a_container_is_no_frame_rate():
    """What ffprobe says of a browser's recording with uneven times."""
    stream = {"index": 0, "codec_type": "video", "avg_frame_rate": "0/0"}

    assert probing._track({**stream, "r_frame_rate": "1000/1"}).fps is None
    assert probing._track({**stream, "r_frame_rate": "240/1"}).fps == 240


def test_who_leaves_bursts_early_or_skips_them_holds_up_nobody():
    once, _ = with_bursts(every=1)
    with ThreadPoolExecutor(1) as beside:
        pending = beside.submit(lambda: next(once.burst_frames()))
        assert len(list(once)) == 40
        assert pending.result(60)[1].index == 3

    skipped, _ = with_bursts(every=1)
    skipped.skip_bursts()
    assert len(list(skipped)) == 40


def test_who_waits_for_bursts_of_a_reader_that_is_never_iterated_is_let_go():
    once, _ = with_bursts()
    with ThreadPoolExecutor(1) as beside:
        pending = beside.submit(lambda: list(once.burst_frames()))
        once.end()
        assert pending.result(60) == []


GROUPS = "expr:if(lt(n,60),not(mod(n,10)),not(mod(n,20)))"
#: Eight seconds whose groups of pictures change their length after 60 pictures.
CHANGING = (
    *("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=8", "-c:v", "libx264", "-bf", "2"),
    *("-g", "500", "-sc_threshold", "0", "-force_key_frames", GROUPS),
)


def changes_of(path):
    media = probe(path)
    packets = read_packets(path, media, media.of_kind("video")[0])
    return [change.at_s for change in find_group_changes(packets)]


def test_packets_count_time_from_the_start_of_the_file_as_pictures_do(tmp_path):
    plain = make(tmp_path / "a.mp4", *CHANGING)
    late = make(tmp_path / "b.ts", "-i", str(plain), "-c", "copy", "-output_ts_offset", "3600")

    (at_s,) = changes_of(plain)
    assert 2 < at_s < 3
    assert changes_of(late) == [pytest.approx(at_s, abs=0.1)]


@pytest.mark.parametrize("late", ["video", "audio"])
@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_track_that_begins_late_keeps_its_distance_to_the_other(tmp_path, clip, late, suffix):
    tracks = ("0:v", "1:a") if late == "audio" else ("1:v", "0:a")
    path = make(
        tmp_path / f"late.{suffix}",
        *("-i", str(clip), "-itsoffset", "1", "-i", str(clip)),
        *("-map", tracks[0], "-map", tracks[1], "-c", "copy"),
    )
    media = probe(path)
    (picture,), (sound,) = media.of_kind("video"), media.of_kind("audio")
    begins_s = {late: 1.0}
    first_s = pytest.approx(begins_s.get("video", 0.0), abs=0.08)
    samples = np.concatenate(list(PcmReader(path, media, sound)))
    heard = np.flatnonzero(np.abs(samples) > 0.01)
    assert heard[0] / 16_000 == pytest.approx(begins_s.get("audio", 0.0), abs=0.1)
    assert np.nanmin(read_packets(path, media, picture).pts_s) == first_s
    assert frames_of(path, Sampling(every=1))[0].pts_s == first_s
    greys = GreyReader(path, media, picture, max_side_px=64, max_frames=100)
    assert next(iter(greys))[0] == first_s
    once = OnePassReader(
        path, media, picture, Sampling(every=1), max_frames=90, grey_side_px=64, max_greys=90
    )
    assert next(iter(once)).pts_s == first_s


def test_groups_that_change_their_length_all_the_time_are_a_habit(tmp_path):
    habit = "expr:not(mod(n,if(mod(floor(n/40),2),5,10)))"
    many = (
        *("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=16", "-c:v", "libx264"),
        *("-g", "500", "-sc_threshold", "0", "-force_key_frames", habit),
    )

    assert changes_of(make(tmp_path / "a.mp4", *many)) == []


def test_packets_without_presentation_times_have_those_of_decoding(tmp_path):
    (at_s,) = changes_of(make(tmp_path / "a.avi", *CHANGING))

    assert 2 < at_s < 3


def test_a_recording_that_states_no_duration_has_that_of_its_packets(tmp_path, clip):
    with_it = make(tmp_path / "a.webm", "-i", str(clip), "-c:v", "libvpx", "-an")
    copied = ("-i", str(with_it), "-c", "copy", "-f", "webm", "-live", "1")
    without = make(tmp_path / "b.webm", *copied)

    assert probe(without).duration_s == pytest.approx(probe(with_it).duration_s, abs=0.1)


def test_a_sample_far_above_full_scale_is_cut(tmp_path):
    sound = np.zeros(16_000, "<f4")
    sound[5000:5003] = 1e30, -np.inf, np.nan
    raw = tmp_path / "a.f32"
    raw.write_bytes(sound.tobytes())
    path = make(tmp_path / "a.wav", "-f", "f32le", "-ar", "16000", "-i", str(raw), "-c", "copy")
    media = probe(path)

    (heard,) = PcmReader(path, media, media.tracks[0])

    assert heard[5000:5003].tolist() == [4.0, -4.0, 0.0]


def test_pictures_are_measured_in_square_pixels_as_players_show_them(tmp_path, clip):
    narrow = make(tmp_path / "narrow.mp4", "-i", str(clip), "-vf", "scale=160:240,setsar=2")

    (track,) = probe(narrow).of_kind("video")

    assert (track.width, track.height) == (320, 240)
    assert frames_of(narrow, Sampling(every=10))[0].image.shape == (240, 320, 3)


def test_the_track_that_players_choose_comes_first(tmp_path, clip):
    two = make(
        tmp_path / "two.mkv",
        *("-i", str(clip), "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default"),
    )

    assert [track.index for track in probe(two).of_kind("audio")] == [2, 1]
