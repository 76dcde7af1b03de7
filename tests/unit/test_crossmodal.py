"""Cross-modal agreement: offsets are found, foreign sound is told apart, silence says nothing."""

import numpy as np
import pytest

from shared.records import Outcome, PartialResult, SyncSeries
from workers.aggregator import crossmodal

RATE = 12.5


def speech(seed, seconds=24.0):
    """Return a mouth-like random signal: syllables of a few a second, pauses, 0 to 1."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=round(seconds * RATE))
    syllables = np.convolve(noise, [0.3, 0.4, 0.3], "same")
    pauses = np.convolve(rng.normal(size=noise.size), np.ones(12) / 12, "same") > -0.2
    return np.clip(0.5 + syllables, 0, 1) * pauses


def series(values, start_s=0.0, rate=RATE):
    return SyncSeries(
        rate_hz=rate, start_s=start_s, values=tuple(int(v) for v in np.clip(255 * values, 0, 255))
    )


def halves(sound, mouth, *, late_s=0.0):
    """Return two halves; the mouth is seen in three bursts of four seconds, the sound may lag."""
    if late_s < 0:
        sound, late_s = sound[round(-late_s * RATE) :], 0.0
    size = round(4 * RATE)
    bursts = tuple(
        series(mouth[first : first + size], start_s=first / RATE) for first in (25, 110, 200)
    )
    return (
        PartialResult(modality="audio", outcome=Outcome.SCORED, sync=(series(sound, late_s),)),
        PartialResult(modality="video", outcome=Outcome.SCORED, sync=bursts),
    )


def noisy(values, seed=99):
    return values + np.random.default_rng(seed).normal(0, 0.15, values.size)


def test_own_sound_agrees_at_no_offset():
    found = crossmodal.compare(*halves(speech(1), noisy(speech(1))))

    assert found.near > found.far
    assert abs(found.offset_s) <= 1 / RATE
    assert found.samples == 150


@pytest.mark.parametrize("shift_s", [-1.2, -0.4, 0.4, 0.8, 1.2])
def test_a_shift_is_found_with_its_sign(shift_s):
    found = crossmodal.compare(*halves(speech(1), noisy(speech(1)), late_s=shift_s))

    assert found.mismatch > 0
    assert found.offset_s == pytest.approx(shift_s, abs=1 / RATE)


def test_foreign_sound_fits_worse_than_own_sound():
    own = [crossmodal.compare(*halves(speech(n), noisy(speech(n)))).mismatch for n in range(20)]
    foreign = [
        crossmodal.compare(*halves(speech(n + 50), noisy(speech(n)))).mismatch for n in range(20)
    ]

    assert max(own) < min(foreign)


def test_louder_sound_and_a_wider_mouth_change_nothing():
    sound, mouth = speech(1), noisy(speech(1))
    plain = crossmodal.compare(*halves(sound, mouth))
    scaled = crossmodal.compare(*halves(0.5 * sound, 0.2 + 0.5 * mouth))

    assert scaled.near == pytest.approx(plain.near, abs=0.03)


@pytest.mark.parametrize(
    ("audio", "video"),
    [
        (None, halves(speech(1), speech(1))[1]),
        (halves(speech(1), speech(1))[0], None),
        halves(speech(1), np.full(300, 0.5)),
        halves(np.zeros(300), speech(1)),
        (
            PartialResult(modality="audio", outcome=Outcome.SCORED),
            halves(speech(1), speech(1))[1],
        ),
        (
            halves(speech(1)[:40], speech(1))[0],
            halves(speech(1), speech(1))[1],
        ),
        (
            PartialResult(modality="audio", outcome=Outcome.FAILED, sync=(series(speech(1)),)),
            halves(speech(1), speech(1))[1],
        ),
    ],
    ids=["no audio", "no video", "still mouth", "silence", "no envelope", "too short", "failed"],
)
def test_where_nobody_is_seen_and_heard_speaking_there_is_no_answer(audio, video):
    assert crossmodal.compare(audio, video) is None
