"""The picture of the sound: where time and pitch lie in it, its size, and when there is none."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from shared.errors import Busy
from shared.media import PCM_RATE, PcmReader
from shared.probing import probe
from shared.records import Job, Media, Outcome, PartialResult, Track, Upload
from shared.settings import Settings
from shared.spectrum import HEIGHT, MAX_BYTES, TOP_HZ, WIDTH, Spectrogram
from workers.console import spectrogram as drawing
from workers.samples import SAMPLES

RNG = np.random.default_rng(5)


def tone(hertz, length_s):
    times = np.arange(round(length_s * PCM_RATE)) / PCM_RATE
    return (0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def drawn(sound, length_s=None, block=PCM_RATE):
    """Darkness, 0 to 255, of shape (HEIGHT, WIDTH)."""
    spectrum = Spectrogram()
    for start in range(0, len(sound), block):
        spectrum.add(sound[start : start + block])
    content = spectrum.draw(length_s or len(sound) / PCM_RATE)
    return 255 - cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize("length_s", [2.0, 9.0, 200.0])
@pytest.mark.parametrize("hertz", [1000, 6000])
def test_a_tone_is_a_dark_line_at_its_pitch(length_s, hertz):
    picture = drawn(tone(hertz, length_s))

    assert picture.shape == (HEIGHT, WIDTH)
    row = picture.mean(axis=1).argmax()
    assert row == pytest.approx(HEIGHT * (1 - hertz / TOP_HZ), abs=2)
    assert picture[row, :980].min() > 200
    assert np.median(picture) < 60


@pytest.mark.parametrize("length_s", [4.0, 60.0, 300.0])
def test_a_change_lies_at_its_time(length_s):
    picture = drawn(np.concatenate([tone(1000, length_s / 4), tone(6000, 3 * length_s / 4)]))
    low = picture[round(HEIGHT * (1 - 1000 / TOP_HZ))].astype(float)

    assert np.abs(np.diff(low)).argmax() == pytest.approx(WIDTH / 4, abs=6)


def test_what_is_beyond_the_sound_stays_empty():
    picture = drawn(tone(1000, 3.0), length_s=6.0)

    assert picture[:, WIDTH // 2 + 16 :].max() < 8
    assert picture[:, : WIDTH // 2 - 16].max() > 200


def test_how_the_sound_is_cut_into_blocks_makes_no_difference():
    sound = (0.1 * RNG.standard_normal(20 * PCM_RATE)).astype(np.float32)

    whole = drawn(sound, block=len(sound))

    for block in (100, 511, 4_000, 33_333):
        assert np.array_equal(drawn(sound, block=block), whole)


@pytest.mark.parametrize("length_s", [1, 8, 300])
def test_a_picture_is_small_whatever_is_heard(length_s):
    spectrum = Spectrogram()
    for _ in range(length_s):
        loudness = RNG.choice([0.001, 0.5], (20, 1))
        spectrum.add((loudness * RNG.standard_normal((20, 800))).astype(np.float32).ravel())

    (evidence,) = spectrum.evidence(None)

    assert len(evidence.content) <= MAX_BYTES
    assert (evidence.ref.kind, evidence.ref.end_s) == ("spectrogram", length_s)


@pytest.mark.parametrize("level", [0.0, 1e-7])
def test_silence_has_no_picture(level):
    spectrum = Spectrogram()
    assert spectrum.evidence(3.0) == ()
    spectrum.add((level * RNG.standard_normal(3 * PCM_RATE)).astype(np.float32))

    assert spectrum.evidence(3.0) == ()


def test_a_drawing_waits_for_another_only_for_a_while(monkeypatch):
    """Each that waits keeps a thread of the console from other requests."""
    monkeypatch.setattr(drawing, "_PATIENCE_S", 0.0)
    tracks = (Track(index=0, kind="audio", codec="aac"),)
    half = PartialResult(modality="audio", outcome=Outcome.NOT_APPLICABLE, reason="no_speech")
    upload = Upload(bucket="b", key="uploads/a.wav", etag="e", size_bytes=1)
    job = Job.model_construct(
        upload=upload, audio=half, media=Media(container="wav", tracks=tracks)
    )

    with drawing._one_at_a_time, pytest.raises(Busy):
        drawing.of_job(Settings(), job)


def test_a_decoder_of_the_console_fits_into_its_pod_beside_it():
    chart = Path(__file__).parents[2] / "deploy/helm/silver-guardian/values.yaml"
    memory = yaml.safe_load(chart.read_text())["console"]["resources"]["limits"]["memory"]
    limits = drawing._limits(Settings())

    assert memory == "1Gi"
    assert limits.memory_bytes + 256 * 1024**2 <= 1024**3
    assert drawing._limits(Settings(decode_memory_bytes=1000)).memory_bytes == 1000
    media = probe(SAMPLES[0], limits)
    reader = PcmReader(SAMPLES[0], media, media.of_kind("audio")[0], limits=limits)
    assert sum(map(len, reader)) > PCM_RATE
    assert not reader.decode_errors
