"""Cross-modal agreement: offsets are found, foreign sound is told apart, silence says nothing."""

import numpy as np
import pytest

from shared.agreement import RATE_HZ, encode
from shared.records import ModelRef, Outcome, PartialResult, SyncSeries
from workers.aggregator import crossmodal, explain

#: Where the bursts begin and how long they are, in seconds.
STARTS_S, LENGTH_S = (2.0, 9.0), 6.0


def speech(seed, seconds=18.0):
    """Return series like projected speech: four, a few changes a second."""
    noise = np.random.default_rng(seed).normal(size=(round(seconds * RATE_HZ), 4))
    kernel = np.hanning(9) / np.sqrt(np.square(np.hanning(9)).sum())
    return np.column_stack([np.convolve(column, kernel, "same") for column in noise.T])


def half(modality, sync, outcome=Outcome.SCORED, version="1.0.0"):
    name = {"audio": "speech-series", "video": "mouth-series"}[modality]
    models = (ModelRef(name=name, version=version, sha256="0" * 64),)
    return PartialResult(modality=modality, outcome=outcome, sync=sync, models=models)


def heard(sound, late_s=0.0, voiced=True, **options):
    """Return the audio half; its first series says where there is speech."""
    if late_s < 0:
        sound, late_s = sound[round(-late_s * RATE_HZ) :], 0.0
    spoken = np.full((len(sound), 1), float(voiced))
    return half("audio", encode(np.hstack([spoken, sound]), late_s), **options)


def seen(mouth, starts_s=STARTS_S, length_s=LENGTH_S, **options):
    bursts = ()
    for start_s in starts_s:
        first = round(start_s * RATE_HZ)
        bursts += encode(mouth[first : first + round(length_s * RATE_HZ)], start_s)
    return half("video", bursts, **options)


def noisy(values, seed=99):
    return values + np.random.default_rng(seed).normal(0, 1, values.shape)


def test_own_sound_agrees_at_no_offset():
    found = crossmodal.compare(heard(speech(1)), seen(noisy(speech(1))))

    assert found.near > found.far
    assert found.offset_s == pytest.approx(0, abs=1 / RATE_HZ)
    assert found.drift_s == pytest.approx(0, abs=2 / RATE_HZ)
    assert found.samples == 2 * LENGTH_S * RATE_HZ
    assert found.voiced_s == 2 * LENGTH_S
    assert not found.is_offset


@pytest.mark.parametrize("shift_s", [-1.0, -0.4, 0.4, 0.8, 1.0])
def test_a_shift_is_found_with_its_sign(shift_s):
    found = crossmodal.compare(heard(speech(1), late_s=shift_s), seen(noisy(speech(1))))

    assert found.mismatch > 0
    assert found.is_offset
    assert found.offset_s == pytest.approx(shift_s, abs=2 / RATE_HZ)


def test_sound_that_runs_late_more_and_more_drifts():
    sound = speech(1)
    late = np.vstack([sound[:200], np.repeat(sound[200:201], 10, axis=0), sound[200:]])
    found = crossmodal.compare(heard(late), seen(noisy(sound)))

    assert found.drift_s == pytest.approx(0.4, abs=0.1)


def test_foreign_sound_fits_worse_than_own_sound():
    mouths = {n: seen(noisy(speech(n))) for n in range(8)}
    own = [crossmodal.compare(heard(speech(n)), mouths[n]).mismatch for n in mouths]
    foreign = [crossmodal.compare(heard(speech(n + 50)), mouths[n]).mismatch for n in mouths]

    assert max(own) < min(foreign)


@pytest.mark.parametrize(
    ("audio", "video"),
    [
        (None, seen(speech(1))),
        (heard(speech(1)), None),
        (heard(speech(1)), half("video", ())),
        (heard(speech(1), voiced=False), seen(speech(1))),
        (half("audio", ()), seen(speech(1))),
        (heard(speech(1)[:40]), seen(speech(1))),
        (heard(speech(1)), seen(speech(1), starts_s=(2.0,), length_s=2.0)),
        (heard(speech(1), outcome=Outcome.FAILED), seen(speech(1))),
        (heard(speech(1), version="0.9.0"), seen(speech(1))),
        (half("audio", (SyncSeries(rate_hz=12.5, values=(9,) * 99),)), seen(speech(1))),
    ],
    ids=[
        *("no audio", "no video", "no mouth", "silence", "no sound", "elsewhere", "too short"),
        *("failed", "another version", "older series"),
    ],
)
def test_where_nobody_is_seen_and_heard_speaking_there_is_no_answer(audio, video):
    assert crossmodal.compare(audio, video) is None


@pytest.mark.parametrize(
    ("llr", "late_s", "code", "text"),
    [
        (2.0, 0.8, "sync_late", "0.8 seconds after"),
        (2.0, -0.4, "sync_early", "0.4 seconds before"),
        (-2.0, 0.0, "sync_agrees", "in time"),
    ],
)
def test_the_reason_names_the_offset_where_it_is_clear(llr, late_s, code, text):
    found = crossmodal.compare(heard(speech(1), late_s=late_s), seen(speech(1)))
    (reason,) = explain.sync_reasons(llr, found)

    assert reason.code == code
    assert text in reason.text
    assert (reason.offset_s is None) == (code == "sync_agrees")


def test_foreign_sound_has_no_offset_and_weak_evidence_no_reason():
    found = crossmodal.compare(heard(speech(51)), seen(speech(1)))

    assert [reason.code for reason in explain.sync_reasons(2.0, found)] == ["sync_mismatch"]
    assert explain.sync_reasons(0.5, found) == explain.sync_reasons(2.0, None) == ()
