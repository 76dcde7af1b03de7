"""Known tricks in media: each ends in a typed reason or a right analysis, and touches nothing."""

import os
import struct
import subprocess
import time

import pytest
from fuzzing.canary import Canary

from shared.errors import GuardianError, NotMedia
from shared.halves import examine
from shared.records import Outcome
from shared.settings import Settings
from workers import onefile

#: No trick may take longer than this, both halves together, in seconds; most take two.
LIMIT_S = 120
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")
PICTURES = ("-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=2")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="module")
def pipelines():
    return onefile.load(Settings()).pipelines


@pytest.fixture
def canary(tmp_path):
    """A file and a port that nobody may touch."""
    secret = make(tmp_path / "secret.wav", *TONE)
    with Canary(secret, secret.read_bytes()) as watched:
        yield watched
    assert watched.touches == []


def make(path, *arguments):
    subprocess.run(["ffmpeg", "-y", "-v", "error", *arguments, str(path)], check=True)
    return path


def analysed(path, pipelines):
    """Both halves of a file, in bounded time."""
    started = time.monotonic()
    halves = {
        modality: examine(path, modality, analyze, Settings())[0].result
        for modality, analyze in pipelines.items()
    }
    assert time.monotonic() - started < LIMIT_S
    for half in halves.values():
        assert (half.outcome is Outcome.SCORED) == (half.reason is None)
    return halves["audio"], halves["video"]


# --- other files and the network ----------------------------------------------------------------


def playlists(target):
    return {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{target}'\n",
        "dash": f'<MPD type="static"><Period><BaseURL>{target}</BaseURL></Period></MPD>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    }


@pytest.mark.parametrize("kind", ["hls", "concat", "dash", "sdp"])
@pytest.mark.parametrize("suffix", ["mp4", "avi"])
@pytest.mark.parametrize("where", ["file", "network"])
def test_a_playlist_under_another_name_is_refused(tmp_path, canary, kind, suffix, where):
    target = f"file:{canary.path}" if where == "file" else f"http://127.0.0.1:{canary.port}/a.ts"
    path = tmp_path / f"clip.{suffix}"
    path.write_text(playlists(target)[kind])

    with pytest.raises(NotMedia):
        onefile.analyze_file(Settings(), path)


@pytest.mark.parametrize("kind", ["hls", "concat", "dash", "sdp"])
def test_a_playlist_behind_a_real_header_is_not_followed(tmp_path, canary, pipelines, kind):
    headers = {
        "mp4": b"\x00\x00\x00\x10ftypisom\x00\x00\x02\x00",
        "avi": b"RIFF\xff\x00\x00\x00AVI ",
        "mkv": b"\x1aE\xdf\xa3\x93",
        "asf": b"0&\xb2u\x8ef\xcf\x11",
        "mp3": b"ID3\x03\x00\x00\x00\x00\x00\x00",
    }
    for target in (f"file:{canary.path}", f"http://127.0.0.1:{canary.port}/a.ts"):
        for suffix, header in headers.items():
            path = tmp_path / f"clip.{suffix}"
            path.write_bytes(header + playlists(target)[kind].encode())
            for half in analysed(path, pipelines):
                assert half.outcome is not Outcome.SCORED


@pytest.mark.parametrize("where", ["file", "network"])
def test_a_playlist_as_the_subtitles_of_an_avi_is_not_followed(tmp_path, canary, pipelines, where):
    target = f"file:{canary.path}" if where == "file" else f"http://127.0.0.1:{canary.port}/a.ts"
    sound = ("-c:a", "pcm_s16le", "-ar", "8000")
    path = make(tmp_path / "clip.avi", *PICTURES, *TONE, *sound, "-c:v", "mjpeg")
    content = path.read_bytes()
    text = playlists(target)["hls"].encode()
    description = "x".encode("utf-16le") + b"\0\0"
    block = b"GAB2\0" + struct.pack("<HI", 2, len(description)) + description
    block += struct.pack("<HI", 4, len(text)) + text
    first = content.index(b"01wb", content.index(b"movi"))
    (size,) = struct.unpack_from("<I", content, first + 4)
    assert size >= len(block)
    patched = bytearray(content.replace(b"auds", b"txts"))
    patched[first + 8 : first + 8 + size] = block.ljust(size, b"\n")
    path.write_bytes(patched)

    sound_half, picture_half = analysed(path, pipelines)

    assert sound_half.outcome is not Outcome.SCORED
    assert picture_half.reason == "no_face"


def boxes_replaced(content, path, new):
    """Replace the innermost box of a path of ISO boxes, and mend the sizes around it."""
    at = 0
    while at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        if kind == path[0]:
            inner = content[at + 8 : at + size]
            inner = new if len(path) == 1 else boxes_replaced(inner, path[1:], new)
            box = struct.pack(">I4s", 8 + len(inner), kind) + inner
            return content[:at] + box + content[at + size :]
        at += size
    raise AssertionError(path)


def test_a_movie_whose_media_lie_in_another_file_reads_only_itself(tmp_path, canary, pipelines):
    path = make(tmp_path / "clip.mov", *TONE, "-c:a", "pcm_s16le", "-ar", "8000")
    name = str(canary.path).encode()
    alias = b"\0" * 10 + bytes([4]) + b"disk".ljust(27, b"\0") + b"\0" * 12
    alias += bytes([10]) + b"secret.wav".ljust(63, b"\0") + b"\0" * 16 + b"\0" * 16
    alias += struct.pack(">hH", 18, len(name)) + name + b"\0" * (len(name) % 2)
    alias += struct.pack(">hH", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    dref = struct.pack(">II", 0, 1) + entry
    boxes = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    path.write_bytes(boxes_replaced(path.read_bytes(), boxes, dref))

    sound, _ = analysed(path, pipelines)

    assert sound.outcome is not Outcome.SCORED


# --- more than it looks -------------------------------------------------------------------------


def test_a_picture_of_ten_thousand_squared_is_too_complex(tmp_path, pipelines):
    black = ("-f", "lavfi", "-i", "color=black:size=10000x10000:rate=1:duration=1")
    path = make(tmp_path / "bomb.mov", *black, "-c:v", "png", "-pred", "none", "-pix_fmt", "gray")
    assert path.stat().st_size < 1_000_000

    for half in analysed(path, pipelines):
        assert half.reason == "media_too_complex"


def test_a_large_picture_that_claims_to_be_small_stays_within_the_limits(tmp_path, pipelines):
    black = ("-f", "lavfi", "-i", "color=black:size=10000x10000:rate=1:duration=1")
    path = make(tmp_path / "bomb.mov", *black, "-c:v", "png", "-pred", "none", "-pix_fmt", "gray")
    small, large = struct.pack(">HH", 64, 64), struct.pack(">HH", 10_000, 10_000)
    content = path.read_bytes()
    assert large in content
    path.write_bytes(content.replace(large, small))

    _, picture = analysed(path, pipelines)

    assert picture.reason in {"media_too_complex", "undecodable_video", "too_few_frames"}


def test_hours_of_black_in_a_few_kilobytes_end_soon(tmp_path, pipelines):
    black = ("-f", "lavfi", "-i", "color=black:size=320x240:rate=1/60:duration=15000")
    silence = ("-f", "lavfi", "-i", "anullsrc=sample_rate=8000:channel_layout=mono")
    sound = ("-c:a", "flac", "-compression_level", "12", "-frame_size", "65535")
    path = make(tmp_path / "black.mkv", *black, *silence, *H264, *sound, "-t", "15000")
    assert path.stat().st_size < 500_000

    sound_half, picture_half = analysed(path, pipelines)

    assert sound_half.reason == "no_speech"
    assert sound_half.coverage.analysed_s == pytest.approx(4 * 3600, abs=1)
    assert picture_half.reason == "no_face"


def test_hundreds_of_tracks_are_too_complex(tmp_path, pipelines):
    maps = [argument for _ in range(300) for argument in ("-map", "0:a")]
    path = make(tmp_path / "tracks.mkv", *TONE, *maps, "-c:a", "pcm_s16le", "-ar", "8000")

    for half in analysed(path, pipelines):
        assert half.reason == "media_too_complex"


# --- times --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", ["90000", "1/1000"])
def test_a_pathological_frame_rate_is_analysed_or_refused(tmp_path, pipelines, rate):
    count = ("-frames:v", "60")
    source = ("-f", "lavfi", "-i", f"testsrc=size=160x120:rate={rate}")
    path = make(tmp_path / "rate.mp4", *source, *H264, *count, "-video_track_timescale", "90000")

    sound, picture = analysed(path, pipelines)

    assert sound.reason == "no_audio_track"
    assert picture.reason in {"no_face", "too_few_frames"}


@pytest.mark.parametrize(
    "times",
    ["0", "trunc(TS/500)*500", "TS+gt(N\\,25)*100000/TB", "TS+gt(N\\,25)*400000000/TB"],
    ids=["never advance", "hardly advance", "jump a day", "jump a decade"],
)
def test_times_that_jump_or_stand_still_do_no_harm(tmp_path, pipelines, times):
    sound = ("-c:a", "pcm_s16le")
    good = make(tmp_path / "good.mkv", *PICTURES, *TONE, "-c:v", "mjpeg", *sound)
    path = make(
        tmp_path / "times.mkv", "-i", str(good), "-c", "copy", "-bsf:v", f"setts=ts={times}"
    )

    sound, picture = analysed(path, pipelines)

    assert sound.reason in {"no_speech", "music"}
    assert picture.reason in {"no_face", "too_few_frames", "undecodable_video"}


def test_times_that_go_back_do_no_harm(tmp_path, pipelines):
    part = make(tmp_path / "part.ts", *PICTURES, *TONE, *H264, "-c:a", "aac")
    path = tmp_path / "back.ts"
    path.write_bytes(part.read_bytes() * 3)

    sound, picture = analysed(path, pipelines)

    assert sound.reason in {"no_speech", "music"}
    assert picture.reason in {"no_face", "too_few_frames"}


# --- damage -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("media") / "clip.mkv"
    return make(path, *PICTURES, *TONE, *H264, "-c:a", "aac")


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_truncated_file_gives_what_is_there_or_a_reason(tmp_path, pipelines, clip, share):
    content = clip.read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(content[: int(len(content) * share)])

    sound, picture = analysed(path, pipelines)

    assert sound.outcome is not Outcome.SCORED
    assert picture.outcome is not Outcome.SCORED
    if share == 0.9:
        assert 1.0 < sound.coverage.analysed_s < 2.1


@pytest.mark.parametrize("step", [97, 1009, 10_007])
def test_flipped_bits_give_what_is_there_or_a_reason(tmp_path, pipelines, clip, step):
    content = bytearray(clip.read_bytes())
    for position in range(step, len(content), step):
        content[position] ^= 1 << position % 8
    path = tmp_path / "flipped.mkv"
    path.write_bytes(content)

    for half in analysed(path, pipelines):
        assert half.outcome is not Outcome.SCORED


def test_a_track_that_nothing_decodes_does_not_hide_the_one_beside_it(tmp_path, pipelines):
    maps = ("-map", "0:v", "-map", "1:a", "-map", "1:a")
    codecs = (*H264, "-c:a:0", "pcm_s16le", "-c:a:1", "pcm_s16be", "-ar", "8000")
    path = make(tmp_path / "two.mov", *PICTURES, *TONE, *maps, *codecs)
    content = path.read_bytes()
    assert content.count(b"sowt") == 1
    path.write_bytes(content.replace(b"sowt", b"zzzz"))

    sound, picture = analysed(path, pipelines)

    assert sound.reason in {"no_speech", "music"}
    assert sound.coverage.analysed_s == pytest.approx(2, abs=0.1)
    assert picture.reason == "no_face"


def test_only_tracks_that_nothing_decodes_are_a_reason_of_their_own(tmp_path, pipelines):
    path = make(tmp_path / "one.mov", *PICTURES, *TONE, *H264, "-c:a", "pcm_s16le")
    path.write_bytes(path.read_bytes().replace(b"sowt", b"zzzz").replace(b"avc1", b"zzzz"))

    sound, picture = analysed(path, pipelines)

    assert sound.reason == "undecodable_audio"
    assert picture.reason == "undecodable_video"


def test_errors_of_ours_are_all_typed(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()

    with pytest.raises(GuardianError) as caught:
        onefile.analyze_file(Settings(), path)
    assert caught.value.code == "empty_object"


def test_what_is_no_file_is_refused_without_being_read(tmp_path):
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)  # opening it would wait for whoever writes

    with pytest.raises(NotMedia, match="is no file"):
        onefile.analyze_file(Settings(), pipe)
