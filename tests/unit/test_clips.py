"""Short recordings that share a decoder: the same samples as alone, or none."""

import subprocess

import numpy as np
import pytest

from shared import clips
from shared.decoder import DecodeLimits
from shared.media import PcmReader

pytestmark = pytest.mark.unit


def _record(path, seconds=2.0, pitch=300, **options):
    """Write a tone with ffmpeg; the name says the codec."""
    more = [text for name, value in options.items() for text in (f"-{name}", str(value))]
    source = f"sine=frequency={pitch}:sample_rate=44100:duration={seconds}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, *more, str(path)]
    subprocess.run(command, check=True)
    return path


def _alone(path):
    media = clips.sound_alone(path)
    return list(PcmReader(path, media, media.tracks[0]))


@pytest.fixture
def recordings(tmp_path):
    names = ("a.wav", "b.flac", "c.mp3", "d.wav")
    return [
        _record(tmp_path / name, 1.0 + number / 3, 300 + 50 * number, ac=1 + number % 2)
        for number, name in enumerate(names)
    ]


def test_samples_and_blocks_are_those_of_a_child_alone(recordings, tmp_path):
    longer = _record(tmp_path / "longer.flac", 23.4)
    paths = [*recordings, longer]
    assert len(paths) == clips.TOGETHER

    found = clips.decode(paths)

    assert list(found) == paths
    for path, clip in found.items():
        blocks = _alone(path)
        assert [block.size for block in clip] == [block.size for block in blocks]
        np.testing.assert_array_equal(np.concatenate(list(clip)), np.concatenate(blocks))


def test_what_is_no_short_sound_is_left_to_a_child_of_its_own(recordings, tmp_path):
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    large = _record(tmp_path / "large.wav", 1.0 + clips.MOST_BYTES / 88_200)
    film = _record(tmp_path / "film.mp4")
    others = [text, large, film, tmp_path / "gone.wav"]

    assert list(clips.decode([recordings[0], *others])) == []  # nothing to share a child with
    assert list(clips.decode([*recordings[:2], *others[:3]])) == recordings[:2]


def test_a_recording_longer_than_the_limit_is_not_cut(recordings, tmp_path):
    endless = _record(tmp_path / "endless.mp3", clips.MOST_S + 5, **{"b:a": "32k"})
    assert endless.stat().st_size < clips.MOST_BYTES
    assert clips.decode([recordings[0], endless]) == {}


def test_what_keeps_a_child_from_its_work_is_left_to_those_alone(recordings):
    limits = DecodeLimits(memory_bytes=1_000_000)
    assert clips.decode(recordings, limits) == {}


def test_no_child_is_no_end(recordings, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert clips.decode(recordings) == {}


def test_whoever_shared_a_child_with_a_damaged_recording_is_read_alone(recordings):
    damaged = recordings[1]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    damaged.write_bytes(content)

    assert clips.decode(recordings) == {}
    damaged.unlink()
    assert list(clips.decode(recordings)) == [path for path in recordings if path != damaged]
