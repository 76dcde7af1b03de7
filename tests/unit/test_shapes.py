"""A network with a session for each shape, on real networks."""

import numpy as np
import onnxruntime as ort
import pytest

from shared import shapes
from shared.models import CUDA, Registry
from shared.shapes import MOST, Shaped

pytestmark = pytest.mark.unit


class Recorded:
    """A session that notes the shapes that it was given."""

    def __init__(self, session):
        self._session = session
        self.shapes = []

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run(self, outputs, feeds):
        self.shapes.append(tuple(value.shape for value in feeds.values()))
        return self._session.run(outputs, feeds)


@pytest.fixture
def network():
    """Open a packaged network as a GPU would have it, and list its sessions."""

    def opened(name):
        plain = Registry(device="cpu").session(name)
        sessions = []

        def another():
            sessions.append(Recorded(plain))
            return sessions[-1]

        return plain, Shaped(another(), another), sessions

    return opened


def test_each_session_sees_one_shape_and_answers_are_those_of_the_network(network):
    plain, shaped, sessions = network("face-finder")
    rng = np.random.default_rng(0)
    pictures = [
        rng.uniform(0, 255, (1, 3, *size)).astype(np.float32)
        for size in ((64, 96), (96, 64), (64, 96), (96, 64))
    ]

    for picture in pictures:
        answers = shaped.run(None, {"input.1": picture})
        for answer, expected in zip(answers, plain.run(None, {"input.1": picture}), strict=True):
            np.testing.assert_array_equal(answer, expected)

    assert [set(session.shapes) for session in sessions] == [
        {((1, 3, 64, 96),)},
        {((1, 3, 96, 64),)},
    ]


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 17])
def test_a_batch_is_filled_up_and_has_as_many_answers_as_rows(network, rows):
    plain, shaped, sessions = network("face-detector")
    faces = np.random.default_rng(rows).uniform(-1, 1, (rows, 3, 160, 160)).astype(np.float32)

    answers = shaped.run(["score", "distance"], {"faces": faces})

    for answer, expected in zip(answers, plain.run(None, {"faces": faces}), strict=True):
        np.testing.assert_allclose(answer, expected, atol=1e-4)
    (((filled, *_),),) = sessions[0].shapes
    assert filled in {1, 4, 16, 64}
    assert filled >= rows


def test_frames_that_depend_on_each_other_are_not_filled_up(network):
    _, shaped, sessions = network("voice-activity")
    state = np.zeros((1, 1, 128), np.float32)

    shaped.run(None, {"input": np.zeros((3, 576), np.float32), "h": state, "c": state})

    assert sessions[0].shapes[0][0] == (3, 576)


def test_the_shape_that_is_not_used_any_more_is_forgotten(network):
    _, shaped, sessions = network("face-finder")

    def look(height):
        shaped.run(None, {"input.1": np.zeros((1, 3, height, 32), np.float32)})

    heights = [32 * (n + 1) for n in range(MOST)]
    for height in (*heights, heights[0], 32 * (MOST + 1), heights[0], heights[1]):
        look(height)

    assert len(shaped._sessions) == MOST
    seen = [{height for ((_, _, height, _),) in session.shapes} for session in sessions]
    assert all(len(heights_of_one) == 1 for heights_of_one in seen)
    assert len([one for one in seen if one == {heights[0]}]) == 1, "it was used in between"
    assert len([one for one in seen if one == {heights[1]}]) == 2, "it was the oldest"


def test_a_session_on_a_gpu_is_one_for_each_shape(monkeypatch):
    class OnGpu(ort.InferenceSession):
        def __init__(self, content, sess_options, providers):
            super().__init__(content, sess_options, providers[-1:])

        def get_providers(self):
            return [CUDA]

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA])
    monkeypatch.setattr("onnxruntime.InferenceSession", OnGpu)

    session = Registry(device="cuda").session("face-detector")

    assert isinstance(session, shapes.Shaped)
    assert session.get_providers() == [CUDA]
    scores, _ = session.run(None, {"faces": np.zeros((3, 3, 160, 160), np.float32)})
    assert scores.shape == (3,)
