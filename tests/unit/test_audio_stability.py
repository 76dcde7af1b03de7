"""The stability of a voice's score: what is degraded, and how the change is measured."""

import numpy as np
import pytest

from workers.audio.stability import SNR_DB, instability

pytestmark = pytest.mark.unit
RNG = np.random.default_rng(3)


def windows(count):
    return [RNG.standard_normal(16_000).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize(("count", "copies"), [(1, 2), (2, 2), (3, 3), (4, 4)])
def test_every_window_is_scored_again_once_and_a_single_one_in_both_ways(count, copies):
    seen = []

    def score(samples):
        seen.extend(samples)
        return np.ones(len(samples), np.float32)

    assert instability(score, windows(count), [0.5] * count) == pytest.approx(0.5)
    assert len(seen) == copies


def test_windows_are_noisy_and_dull_in_turn():
    plain, seen = windows(4), []

    def score(samples):
        seen.extend(samples)
        return np.zeros(len(samples), np.float32)

    instability(score, plain, [0.0] * 4)

    changes = [
        10 * np.log10(np.var(new - old) / np.var(old)) for new, old in zip(seen, plain, strict=True)
    ]
    assert changes[0] == pytest.approx(-SNR_DB, abs=0.5)
    assert changes[2] == pytest.approx(-SNR_DB, abs=0.5)
    assert min(changes[1], changes[3]) > -10  # white noise loses its upper half
    spectra = [np.square(np.abs(np.fft.rfft(new))) for new in seen]
    assert spectra[1][-1000:].sum() < 0.01 * spectra[0][-1000:].sum()


def test_what_changes_nothing_is_steady():
    plain = windows(2)
    scores = [1.0, -1.0]

    assert instability(lambda _: np.array(scores, np.float32), plain, scores) == 0
