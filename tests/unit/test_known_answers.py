"""The known-answer test of a worker, on a machine that says it has a GPU."""

from functools import partial

import pytest

from shared import loading
from shared.decoder import DEFAULT_LIMITS
from shared.models import Registry
from shared.settings import Settings
from workers import known_answers
from workers.audio import pipeline
from workers.samples import SAMPLES

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def score():
    detector = pipeline.load(Registry(device="cpu"))
    return partial(pipeline.examine, detector=detector, limits=DEFAULT_LIMITS, clock=lambda: 0.0)


@pytest.mark.parametrize(("clips", "fit"), [(SAMPLES, True), (SAMPLES[::-1], False)])
def test_a_gpu_that_answers_wrongly_takes_no_work_and_its_worker_stays_up(
    score, clips, fit, monkeypatch, tmp_path
):
    monkeypatch.setattr(known_answers, "may_use_gpu", lambda _: True)
    monkeypatch.setattr(known_answers, "SAMPLES", clips)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.getppid", lambda: 1)
    monkeypatch.setattr("os.kill", lambda *_: pytest.fail("the worker is ended"))

    loading.load(lambda: known_answers.fit(Settings(), "audio", score))

    note = "models-of-1.loaded" if fit else "models-of-1.unfit"
    assert [path.name for path in tmp_path.glob("models-of-*")] == [note]
    assert known_answers.SELF_TEST.labels("audio")._value.get() == fit
