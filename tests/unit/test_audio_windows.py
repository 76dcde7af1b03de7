"""Windows lie on speech, leave none of it out, and need no more memory for longer recordings."""

from __future__ import annotations

import numpy as np
import pytest

from shared.media import PCM_RATE
from workers.audio.speech import FRAME
from workers.audio.windows import PAD, WINDOW, WindowCutter

pytestmark = pytest.mark.unit

BLOCK = 10 * PCM_RATE


def _cut(spoken_s, total_s, block=BLOCK):
    """Cut a recording in which the given stretches (seconds) are speech."""
    total = int(total_s * PCM_RATE)
    samples = np.arange(total, dtype=np.float32)
    frames = np.zeros(total // FRAME, dtype=np.float32)
    for start_s, end_s in spoken_s:
        frames[int(start_s * PCM_RATE) // FRAME : int(end_s * PCM_RATE) // FRAME] = 1
    cutter, windows, given = WindowCutter(), [], 0
    for first in range(0, total, block):
        piece = samples[first : first + block]
        ready = min(first + piece.size, total) // FRAME
        windows += cutter.feed(piece, frames[given:ready])
        given = ready
    windows += cutter.finish()
    return cutter, windows


def test_windows_begin_where_speech_begins_and_follow_each_other():
    _, windows = _cut([(1.024, 15)], 16)
    starts = [window.start for window in windows]
    assert starts[0] == 1.024 * PCM_RATE - PAD
    assert len(starts) == 4
    assert set(np.diff(starts[:-1])) == {WINDOW}
    assert all(window.is_full for window in windows[:3])


def test_a_window_whose_end_is_silent_is_not_full():
    _, windows = _cut([(0, 3), (9, 20)], 21)
    assert [window.is_full for window in windows[:2]] == [False, True]


def test_all_speech_is_covered():
    _, windows = _cut([(0.5, 6.9), (20, 23.5), (40, 47)], 50)
    for second in (0.6, 3, 6.7, 20.1, 23, 40.5, 46.8):
        assert any(w.start <= second * PCM_RATE < w.end for w in windows), second


def test_speech_is_told_of_any_stretch():
    cutter, _ = _cut([(1.024, 3.072), (5, 6)], 8)
    assert cutter.spoken_s(0, 4 * PCM_RATE) == pytest.approx(2.048)
    assert cutter.spoken_s(3 * PCM_RATE + FRAME * 3, 4 * PCM_RATE) == 0


def test_pauses_are_skipped():
    _, windows = _cut([(0, 4.2), (60, 65)], 70)
    assert not any(6 * PCM_RATE < w.start < 55 * PCM_RATE for w in windows)


def test_short_speech_is_repeated_to_fill_the_window():
    _, (window,) = _cut([(1, 3)], 5)
    length = window.end - window.start
    assert 2 * PCM_RATE <= length < 2.4 * PCM_RATE
    assert window.samples.shape == (WINDOW,)
    assert window.samples[length] == window.samples[0] == window.start


def test_windows_hold_the_samples_of_their_times():
    _, windows = _cut([(0.5, 30)], 31)
    for window in windows:
        assert window.samples[0] == window.start
        assert window.samples[window.end - window.start - 1] == window.end - 1


def test_sparse_windows_are_left_out_and_counted():
    cutter, windows = _cut([(0, 6), (20, 20.3), (40, 45)], 50)
    assert cutter.sparse == 1
    assert all(window.speech_s >= 1 for window in windows)


@pytest.mark.parametrize("quiet_s", [0, 30, 300])
def test_speech_too_sparse_for_any_window_gives_the_densest(quiet_s):
    """However long the sound goes on after the last word."""
    _, (window,) = _cut([(0, 0.5), (8, 8.9), (16, 16.6)], 17 + quiet_s)

    assert 0.8 <= window.speech_s <= 0.96
    assert window.start <= 8 * PCM_RATE < window.end
    assert window.samples[0] == window.start


def test_little_speech_before_a_long_silence_gives_no_window_of_silence():
    cutter, windows = _cut([(0, 6), (14, 14.6), (22, 22.6)], 120)

    assert all(window.start < window.end for window in windows)
    assert all(window.speech_s >= 1 for window in windows)
    assert cutter.sparse >= 2


def test_silence_gives_no_window():
    cutter, windows = _cut([], 30)
    assert windows == []
    assert cutter.speech_s == 0


def test_blocks_do_not_matter():
    spoken = [(0.5, 6.9), (12, 23.5), (26, 27), (33, 47)]
    _, small = _cut(spoken, 50, block=3_001)
    _, large = _cut(spoken, 50, block=40 * PCM_RATE)
    assert [(w.start, w.end) for w in small] == [(w.start, w.end) for w in large]


@pytest.mark.parametrize("spoken", [[], [(0, 1200)], [(5, 6), (900, 1200)]])
def test_memory_is_bounded(spoken):
    cutter = WindowCutter()
    speaking = np.zeros(1200 * PCM_RATE // FRAME, dtype=np.float32)
    for start_s, end_s in spoken:
        speaking[int(start_s * 31.25) : int(end_s * 31.25)] = 1
    block = np.zeros(320 * FRAME, dtype=np.float32)
    for first in range(0, speaking.size - 320, 320):
        list(cutter.feed(block, speaking[first : first + 320]))
        assert cutter._kept.size <= block.size + WINDOW + 4 * PAD
