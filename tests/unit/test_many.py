"""Many files at once: one that the kernel ends a process for ends the work on no other."""

import importlib

import pytest

from shared.errors import SetupError
from shared.settings import Settings
from workers import evaluate, evaluate_fusion, evaluate_tamper, many

pytestmark = pytest.mark.unit
KILL = "__import__('os').kill(__import__('os').getpid(), 9)"
#: Stands for the analysis of a file, or of several, in a module that a process can import.
PROGRAM = """
import os
from workers.evaluate import Scored
from workers.evaluate_tamper import Examined
from shared.records import PartialResult

def die(path):
    if path.name == "deadly.wav":
        os.kill(os.getpid(), 9)

def audio(_, paths):
    return [video(_, path) for path in paths]

def video(_, path):
    die(path)
    return Scored(1.0, None, 1.0)

def fusion(_, path):
    die(path)
    halves = ("audio", "video")
    return tuple(PartialResult(modality=half, outcome="not_applicable") for half in halves)

def tamper(_, path):
    die(path)
    return Examined()
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_only_the_task_that_ends_its_process_is_lost(processes):
    told = []
    tasks = ["1", "2", KILL, "4", KILL, "6"]

    found = many.each(
        eval, tasks, lambda task: f"lost: {task}", processes, told=lambda *what: told.append(what)
    )

    assert found == [1, 2, f"lost: {KILL}", 4, f"lost: {KILL}", 6]
    assert told == [(done, 6) for done in range(7)]


def test_a_task_that_was_killed_beside_others_is_done_again(tmp_path):
    """As where the memory did not suffice for two at once."""
    begun = str(tmp_path / "begun")
    exists = f"__import__('os').path.exists({begun!r})"
    kills_once = f"2 if {exists} else open({begun!r}, 'w') and {KILL}"

    assert many.each(eval, ["1", kills_once, "3"], lambda _: "lost", 2) == [1, 2, 3]


def test_a_fault_of_the_installation_still_ends_the_run():
    raises = "from shared.errors import SetupError; raise SetupError('no model')"
    with pytest.raises(SetupError, match="no model"):
        many.each(exec, [raises, raises], lambda _: "lost", 1)


@pytest.mark.parametrize(
    ("module", "place", "what", "analysed"),
    [
        (evaluate, "_score_audio", "audio", {"n": 2}),
        (evaluate, "_score_video", "video", {"n": 2}),
        (evaluate_fusion, "_score", "fusion", {"n": 3}),
        (evaluate_tamper, "_examine", "tamper", {"groups": 2}),
    ],
)
def test_a_file_that_ends_its_process_is_counted_beside_the_others(
    tmp_path, monkeypatch, module, place, what, analysed
):
    (tmp_path / "stand_in.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, place, getattr(importlib.import_module("stand_in"), what))
    label = "none" if what == "tamper" else "real"
    lines = ["file,label,start_s,end_s"]
    for name in ("a.wav", "deadly.wav", "b.wav"):
        (tmp_path / name).touch()
        lines.append(f"{name},{label},0,0")
    (tmp_path / "list.csv").write_text("\n".join(lines))

    run = getattr(module, f"evaluate_{what}")
    figures = run(tmp_path / "list.csv", Settings(), processes=2)

    lost = figures["not_examined"] if what == "tamper" else figures["abstained"]
    assert (lost["video"] if what == "fusion" else lost)["worker_lost"] == 1
    assert figures | analysed == figures
