"""A closer look finds a sentence that stands out, and costs nothing where nothing does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared.media import PCM_RATE
from workers.audio import scoring
from workers.audio.closer import Place, above_rest, look_closer
from workers.audio.pooling import FINDING_PROBABILITY, Calibration, Scored
from workers.audio.scoring import Scoring, run
from workers.audio.windows import HALF, WINDOW, Window

pytestmark = pytest.mark.unit

CALIBRATION = Calibration(
    scale=1.0,
    top_scale=0.0,
    offset=0.0,
    window_scale=1.0,
    window_offset=0.0,
    llr_limit=4.0,
    spread=0.5,
    distance_usual=1.0,
    distance_unfamiliar=3.0,
    threshold=1.0,
)
GENUINE, SYNTHETIC = -1.5, 3.0


class Network:
    """Gives each half the mean of its samples as score; counts the windows that it was given."""

    threads = 2

    def __init__(self) -> None:
        self.windows = 0

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]

    def run(self, _outputs: list[str], feeds: dict[str, Any]) -> tuple[Any, Any]:
        samples = feeds["samples"]
        self.windows += len(samples)
        scores = samples.reshape(len(samples), 2, HALF).mean(axis=2)
        return scores, np.ones_like(scores)


def _sound(length_s: float, *synthetic_s: tuple[float, float]) -> np.ndarray:
    """Return a recording whose samples are the scores of what is spoken."""
    sound = np.full(int(length_s * PCM_RATE), GENUINE, np.float32)
    for start_s, end_s in synthetic_s:
        sound[int(start_s * PCM_RATE) : int(end_s * PCM_RATE)] = SYNTHETIC
    return sound


def _scored(network: Network, sound: np.ndarray, pause: int = 0) -> tuple[list[Scored], Any]:
    with Scoring(network, lambda: 0.0) as at_work:
        for turn, first in enumerate(range(0, sound.size - WINDOW + 1, WINDOW)):
            start = first + turn * pause
            at_work.add(Window(start, start + WINDOW, 4.0, sound[first : first + WINDOW]))
        return at_work.finish(), at_work.places


def _look(network: Network, sound: np.ndarray, speech_s: float = 2.0, pause: int = 0) -> Any:
    scored, places = _scored(network, sound, pause)
    return look_closer(
        places,
        scored,
        CALIBRATION,
        lambda samples: run(network, samples)[0].mean(axis=1),
        lambda _: speech_s,
    )


@pytest.mark.parametrize("start_s", [1.0, 11.0, 17.5, 21.0, 36.5])
def test_a_sentence_that_stands_out_is_located(start_s: float) -> None:
    (found,) = _look(Network(), _sound(40, (start_s, start_s + 3)))
    assert found.type == "synthetic_speech"
    assert start_s - 0.5 <= found.start_s < found.end_s <= start_s + 3.5
    assert found.strength >= FINDING_PROBABILITY


def test_a_voice_that_sounds_synthetic_throughout_stands_out_nowhere() -> None:
    assert _look(Network(), _sound(40, (0, 40))) == ()


def test_nothing_is_scored_again_where_nothing_stands_out() -> None:
    network = Network()
    assert _look(network, _sound(40)) == ()
    assert network.windows == 10


def test_where_there_is_no_rest_nothing_is_above_it() -> None:
    one = Scored(0.0, 4.0, 4.0, 3.0, 1.0)
    assert above_rest(one, [one, Scored(2.0, 6.0, 4.0, -3.0, 1.0)], CALIBRATION) == -np.inf


def test_a_place_is_left_after_a_few_windows_that_do_not_sound_synthetic() -> None:
    network = Network()
    sound = _sound(40)
    sound[16 * PCM_RATE : 20 * PCM_RATE] = 1.0
    assert _look(network, sound) == ()
    assert network.windows == 10 + 5


def test_short_windows_with_hardly_any_speech_do_not_count() -> None:
    assert _look(Network(), _sound(40, (17, 20)), speech_s=0.5) == ()


def test_times_go_on_after_a_pause_that_was_left_out() -> None:
    pause = PCM_RATE // 4
    (found,) = _look(Network(), _sound(40, (17, 20)), pause=pause)
    assert 18 <= found.start_s < found.end_s <= 21  # four pauses before it


def test_a_place_holds_the_windows_that_touch_it_and_no_more() -> None:
    _, (place,) = _scored(Network(), _sound(40, (16, 20)))
    assert [window.start // WINDOW for window in place.windows] == [3, 4, 5]


def test_a_single_short_window_has_nothing_shorter() -> None:
    window = Window(0, PCM_RATE, 1.0, np.zeros(WINDOW, np.float32))
    assert not list(Place(Scored(0.0, 1.0, 1.0, 1.0, 1.0), (window,)).short())


def test_each_stretch_has_a_place_and_no_more_are_kept_than_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "STRETCH", 4)
    sound = _sound(400, (1, 4), (41, 44), (201, 204))
    assert [finding.start_s // 10 for finding in _look(Network(), sound)] == [0, 4, 20]
    _, places = _scored(Network(), sound)
    assert len(places) == scoring.PLACES
