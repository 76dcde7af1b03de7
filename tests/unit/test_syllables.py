"""The sound's series: bounded, in place, and only where somebody speaks."""

import numpy as np
import pytest

from shared import agreement
from shared.media import PCM_RATE
from shared.models import Registry
from workers.audio.syllables import BANDS, Listener, spectrogram


@pytest.fixture(scope="module")
def projection():
    return agreement.load(Registry(device="cpu", threads=1), agreement.SPEECH)


def noise(seconds):
    return np.random.default_rng(1).normal(0, 0.1, round(seconds * PCM_RATE)).astype(np.float32)


def listen(spans, pcm, block_s=1.0):
    listener = Listener(spans)
    for start in range(0, pcm.size, round(block_s * PCM_RATE)):
        listener.add(pcm[start : start + round(block_s * PCM_RATE)])
    return listener


def test_a_spectrogram_has_25_rows_a_second_and_shows_where_a_tone_lies():
    tone = np.sin(2 * np.pi * 1000 * np.arange(2 * PCM_RATE) / PCM_RATE).astype(np.float32)
    bands = spectrogram(tone)
    assert bands.shape == (50, BANDS)
    assert set(bands.argmax(axis=1)) == {13}  # 1 kHz is at 0.34 of the mel range
    assert spectrogram(tone[:100]).shape == (0, BANDS)


def test_the_size_of_blocks_changes_nothing(projection):
    pcm, spoken = noise(6), np.ones(187, dtype=np.bool_)
    one = listen(((0.0, 80.0),), pcm, 10).series(projection, spoken)
    many = listen(((0.0, 80.0),), pcm, 0.7).series(projection, spoken)
    assert one == many
    assert len(one) == 1 + projection.weights.shape[1]


def test_speech_is_marked_and_silence_left_out(projection):
    listener = listen(((0.0, 3.0), (5.0, 8.0)), noise(8))
    spoken = np.zeros(250, dtype=np.bool_)
    assert listener.series(projection, spoken) == ()
    spoken[31:62] = True  # from 1 to 2 s
    marks = agreement.decode(listener.series(projection, spoken))[:, 0]
    assert marks[:24].max() == 0
    assert marks[26:48].min() == 1
    assert marks[51:].max() == 0


def test_of_hours_only_the_stretches_are_kept(projection):
    listener = Listener(agreement.stretches(1000.0))
    block = noise(10)
    for _ in range(100):
        listener.add(block)
    series = listener.series(projection, np.ones(31_250, dtype=np.bool_))
    starts = sorted({one.start_s for one in series})
    assert len(starts) == agreement.STRETCHES
    assert starts[-1] == pytest.approx(992, abs=0.1)
    assert sum(len(one.values) for one in series) <= 80 * 25 * len(series) / len(starts)
