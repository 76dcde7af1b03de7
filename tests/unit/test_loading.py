"""A pool child that can work no more makes room for another one, and leaves nothing in its way."""

import importlib
import os
import signal
import subprocess
import sys
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

    monkeypatch.setattr("workers.half.run_half", fail)

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


@pytest.mark.parametrize(("works", "status"), [(True, -signal.SIGTERM), (False, 3)])
def test_a_child_that_is_told_to_end_unwinds_but_while_it_works(works, status):
    """As billiard's handler does; killed in the middle of that, it would leave a lock behind."""
    code = (
        "import os, signal, sys\n"
        "from celery.signals import task_postrun, task_prerun\n"
        "from shared import queues\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        "task_prerun.send(None)\n"
        f"{works} or task_postrun.send(None)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )

    assert subprocess.run([sys.executable, "-c", code]).returncode == status
