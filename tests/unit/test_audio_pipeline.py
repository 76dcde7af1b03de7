"""The whole way from a file to a typed half, with the shipped networks and a real decoder."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import workers
from shared.decoder import DEFAULT_LIMITS
from shared.errors import NoAudioTrack, UndecodableAudio
from shared.media import PCM_RATE, PcmReader
from shared.models import Registry
from shared.probing import probe
from shared.records import Media, Outcome, Track
from workers.audio import closer, pipeline, scoring, speech

pytestmark = pytest.mark.unit

SAMPLES = Path(workers.__file__).parent / "samples"


@pytest.fixture(scope="module")
def detector():
    return pipeline.load(Registry(device="cpu", threads=1))


@pytest.fixture(scope="module")
def spoken():
    """A packaged sample in which somebody speaks, as PCM."""
    path = SAMPLES / "bona_fide.mp4"
    media = probe(path)
    return np.concatenate(list(PcmReader(path, media, media.of_kind("audio")[0])))


def _wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(PCM_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def _analyze(path, detector, **options):
    return pipeline.analyze(path, probe(path), detector, **options)


@pytest.mark.parametrize("name", ["bona_fide.mp4", "manipulated.mp4"])
def test_the_samples_are_scored(detector, name):
    half = _analyze(SAMPLES / name, detector)
    assert half.outcome is Outcome.SCORED
    assert half.llr_interval[0] <= half.llr <= half.llr_interval[1]
    assert abs(half.llr) <= detector.calibration.llr_limit
    assert half.coverage.speech_s > 1.5
    assert half.coverage.windows == len(half.timeline) > 0
    assert [model.name for model in half.models] == [
        "voice-detector",
        "voice-activity",
        "speech-series",
    ]


def test_the_same_file_gives_the_same_result(detector):
    path = SAMPLES / "manipulated.mp4"
    again = pipeline.load(Registry(device="cpu", threads=1))
    assert _analyze(path, detector) == _analyze(path, again)


def test_leaving_out_the_stability_check_does_not_change_the_score(detector):
    path = SAMPLES / "manipulated.mp4"
    quick, full = _analyze(path, detector, stability=False), _analyze(path, detector)
    assert quick.llr == full.llr
    assert full.llr_interval[1] > quick.llr_interval[1]


def test_a_longer_recording_has_more_windows_and_later_times(tmp_path, detector, spoken):
    path = _wav(tmp_path / "long.wav", np.tile(spoken, 4))
    half = _analyze(path, detector, stability=False)
    assert half.coverage.analysed_s == pytest.approx(4 * spoken.size / PCM_RATE, abs=0.1)
    assert half.timeline[-1].end_s > 3 * spoken.size / PCM_RATE


def test_a_closer_look_adds_a_place_and_leaves_the_score_alone(
    tmp_path, detector, spoken, monkeypatch
):
    path = _wav(tmp_path / "long.wav", np.tile(spoken, 4))
    plain = _analyze(path, detector, stability=False)
    for name in ("WORTH_A_LOOK", "ABOVE_REST", "FINDING_PROBABILITY"):
        monkeypatch.setattr(closer, name, -99.0)
    looked = _analyze(path, detector, stability=False)
    assert not plain.findings
    (found,) = looked.findings
    assert found.end_s - found.start_s == pytest.approx(2.0, abs=0.5)
    assert looked.model_copy(update={"findings": ()}) == plain


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda t: np.zeros(t.size), "no_speech"),
        (lambda t: 0.05 * np.random.default_rng(0).standard_normal(t.size), "no_speech"),
        (lambda t: 0.2 * sum(np.sin(2 * np.pi * f * t) for f in (261.6, 329.6, 392.0)), "music"),
        (lambda t: 0.2 * (np.sin(2 * np.pi * 697 * t) + np.sin(2 * np.pi * 1209 * t)), "music"),
    ],
    ids=["silence", "noise", "chord", "dial tone"],
)
def test_sound_without_speech_is_a_typed_non_answer(tmp_path, detector, make, reason):
    path = _wav(tmp_path / "sound.wav", make(np.arange(8 * PCM_RATE) / PCM_RATE))
    half = _analyze(path, detector)
    assert (half.outcome, half.reason) == (Outcome.NOT_APPLICABLE, reason)
    assert half.llr is None
    assert half.coverage.speech_s < 1.5
    assert half.message


def test_a_second_of_speech_is_too_little(tmp_path, detector, spoken):
    power = np.cumsum(spoken**2)
    loudest = int(np.argmax(power[PCM_RATE:] - power[:-PCM_RATE]))
    piece = np.pad(spoken[loudest : loudest + PCM_RATE], PCM_RATE)
    half = _analyze(_wav(tmp_path / "short.wav", piece), detector)
    assert half.reason == "too_little_speech"
    assert 0 < half.coverage.speech_s < 1.5


def test_a_little_less_speech_than_needed_is_not_told_as_enough():
    heard = SimpleNamespace(
        cutter=SimpleNamespace(speech_s=1.472),
        most_speech_s=1.472,
        summary=SimpleNamespace(is_silent=False),
    )
    assert pipeline._refusal(heard)[1].startswith("There are 1.47 s of speech")


def test_a_silent_film_has_no_audio_track(detector):
    media = Media(container="mov", tracks=(Track(index=0, kind="video", codec="h264"),))
    with pytest.raises(NoAudioTrack):
        pipeline.analyze(Path("unused"), media, detector)


def test_a_broken_track_is_undecodable(tmp_path, detector, spoken):
    path = _wav(tmp_path / "sound.wav", spoken)
    media = probe(path)
    path.write_bytes(path.read_bytes()[:44])
    with pytest.raises(UndecodableAudio):
        pipeline.analyze(path, media, detector)


def test_the_second_track_is_heard_where_the_first_cannot_be(tmp_path, detector, spoken):
    path = _wav(tmp_path / "sound.wav", spoken)
    media = probe(path)
    track = media.tracks[0]
    broken = track.model_copy(update={"index": 7})
    half = pipeline.analyze(path, media.model_copy(update={"tracks": (broken, track)}), detector)
    assert half.outcome is Outcome.SCORED
    assert half.coverage.dropped["other_tracks"] == 1


def test_the_network_scores_a_window_alike_alone_and_in_company(detector, spoken):
    windows = np.stack([np.roll(spoken, shift)[: 4 * PCM_RATE] for shift in (0, 9000, 31000)])
    together, _ = scoring.run(detector.network, list(windows))
    alone = [scoring.run(detector.network, [window])[0][0] for window in windows]
    np.testing.assert_allclose(together, alone, atol=2e-3)  # sums in another order


def test_long_speech_has_a_window_every_two_seconds(tmp_path, detector, spoken):
    half = _analyze(_wav(tmp_path / "long.wav", np.tile(spoken, 8)), detector, stability=False)
    steps = np.diff([point.start_s for point in half.timeline])
    assert np.median(steps) == pytest.approx(2.0, abs=0.01)


def test_loudness_has_no_say(detector, spoken):
    window = spoken[: 4 * PCM_RATE]
    loud, quiet = scoring.run(detector.network, [window, 0.1 * window])[0]
    assert loud == pytest.approx(quiet, abs=0.05)  # 8 bits round


def test_speech_probabilities_do_not_depend_on_the_blocks(detector, spoken):
    whole = speech.SpeechStream(detector.voice_activity).feed(spoken)
    stream = speech.SpeechStream(detector.voice_activity)
    parts = [stream.feed(spoken[i : i + 7_001]) for i in range(0, spoken.size, 7_001)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


def test_sound_of_a_video_is_found(tmp_path, detector, spoken):
    sound = _wav(tmp_path / "sound.wav", spoken)
    path = tmp_path / "video.mkv"
    subprocess.run(
        [
            *("ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "color=size=64x64:duration=2"),
            *("-i", str(sound), "-c:a", "libopus", str(path)),
        ],
        check=True,
    )
    assert _analyze(path, detector, stability=False).outcome is Outcome.SCORED


def test_the_sound_is_drawn_beside_the_same_half(detector):
    path = SAMPLES / "manipulated.mp4"
    media = probe(path)

    done = pipeline.examine(path, media, detector, limits=DEFAULT_LIMITS, clock=lambda: 0.0)

    (picture,) = done.evidence
    assert done.result.evidence == (picture.ref,)
    assert picture.ref.end_s == pytest.approx(media.duration_s, abs=0.1)
    assert picture.content.startswith(b"\xff\xd8\xff")
    assert done.result.model_copy(update={"evidence": ()}) == _analyze(path, detector)


def test_silence_is_not_drawn(tmp_path, detector):
    path = _wav(tmp_path / "silence.wav", np.zeros(3 * PCM_RATE))

    done = pipeline.examine(path, probe(path), detector, limits=DEFAULT_LIMITS, clock=lambda: 0.0)

    assert (done.result.reason, done.evidence) == ("no_speech", ())


def test_channels_that_cancel_out_are_heard_one_by_one(detector, tmp_path):
    path = SAMPLES / "manipulated.mp4"
    both = tmp_path / "both.wav"
    turned = "pan=stereo|c0=c0|c1=-1*c0"
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vn", "-af", turned, str(both)]
    subprocess.run(command, check=True)

    half, plain = (
        pipeline.examine(file, probe(file), detector, limits=DEFAULT_LIMITS, clock=lambda: 0.0)
        for file in (both, path)
    )

    assert half.result.llr == pytest.approx(plain.result.llr, abs=0.3)
    assert half.evidence[0].ref.end_s == pytest.approx(plain.evidence[0].ref.end_s, abs=0.1)
