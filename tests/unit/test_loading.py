"""A pool child that cannot run its networks any more makes room for another one."""

import importlib
import os
import tempfile

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from shared import loading
from shared.errors import ServiceUnavailable
from shared.models import Registry
from shared.records import SCHEMA_VERSION

pytestmark = pytest.mark.unit


@pytest.fixture
def exits(monkeypatch):
    statuses = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    return statuses


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_a_half_whose_network_cannot_be_run_ends_its_child(exits, monkeypatch, modality):
    task = importlib.import_module(f"workers.{modality}.task")
    network = next(
        name for name, entry in Registry().entries.items() if entry.file.endswith(".onnx")
    )

    def fail(*_):
        session = onnxruntime.InferenceSession(Registry().verify(network))
        nothing = np.zeros((), np.float32)
        session.run(None, {one.name: nothing for one in session.get_inputs()})

    monkeypatch.setattr(task, "run_half", fail)
    monkeypatch.setattr(task, "_shadow", lambda: None)

    with pytest.raises(InvalidArgument):
        task.analyze("job", SCHEMA_VERSION)
    assert exits == [os.EX_SOFTWARE]


@pytest.mark.parametrize("error", [ServiceUnavailable(), IndexError(), MemoryError()])
def test_other_faults_do_not(exits, error):
    with pytest.raises(type(error)), loading.replaced_where_lost():
        raise error
    assert exits == []


def test_a_child_that_takes_the_place_of_another_loads_anew_before_messages_come(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(os, "getppid", os.getpid)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    loading.load(lambda: True)
    assert (loading.done(), loading.unfit()) == (True, False)

    loading.load(lambda: False)
    assert (loading.done(), loading.unfit()) == (False, True)

    loading.load(lambda: True)
    assert (loading.done(), loading.unfit()) == (True, False)
