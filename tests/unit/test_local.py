"""The local system beside another one, or beside what has its port; nothing is started."""

import io
import json
import os
import signal
import socket
import threading
from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from rich.console import Console

from shared.errors import SetupError
from shared.settings import Settings
from workers import local
from workers.cli import main
from workers.commands import processes

pytestmark = pytest.mark.unit


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.create_server((local.HOST, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_spawn", lambda *_: pytest.fail("A process was started."))
    return Settings(state_dir=tmp_path)


def note(settings, port):
    path = settings.state_dir / "local.json"
    path.write_text(json.dumps({"pid": os.getpid(), "endpoint_url": f"http://{local.HOST}:{port}"}))
    return path


def test_a_port_that_is_taken_is_refused_before_anything_starts(settings, taken):
    with pytest.raises(SetupError, match=f"Port {taken} is taken"), local.running(settings, taken):
        pass


def test_a_second_system_leaves_note_and_logs_of_the_first_alone(settings, taken):
    path = note(settings, taken)

    with pytest.raises(SetupError, match="runs already"), local.running(settings):
        pass

    assert path.exists()
    assert not (settings.state_dir / "logs").exists()


def test_a_note_whose_process_id_went_to_another_program_is_passed_over(settings, taken):
    note(settings, taken)
    assert local.find(settings).endpoint_url.endswith(f":{taken}")

    note(settings, local.free_port())
    assert local.find(settings) is None


@pytest.mark.parametrize("text", ["[1]", '"x"', '{"pid": "x", "endpoint_url": 5}', "{", "{}"])
def test_a_note_that_is_none_is_passed_over(settings, text):
    note(settings, local.free_port()).write_text(text)

    assert local.find(settings) is None


def test_the_demo_keeps_apart_from_a_local_system(tmp_path, monkeypatch):
    asked = []

    def refuse(settings):
        asked.append(settings.state_dir)
        raise SetupError("Nothing is started here.")

    monkeypatch.setattr(processes, "get_settings", lambda: Settings(state_dir=tmp_path))
    monkeypatch.setattr(local, "running", refuse)

    CliRunner().invoke(main, ["demo"])

    assert asked == [tmp_path / "demo"]


def test_a_system_that_is_ready_is_not_said_to_be_starting_and_one_that_stops_says_so(
    tmp_path, monkeypatch
):
    """Where the processes are none, Ctrl-C comes a second after it is ready."""

    @contextmanager
    def ready(settings, *_, **__):
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        here = settings.model_copy(update={"state_dir": tmp_path})
        yield local.LocalSystem(here, "http://127.0.0.1:4566", (), "http://127.0.0.1:8080/")

    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(local, "running", ready)
    monkeypatch.setattr(processes, "NOTES", screen)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        CliRunner().invoke(main, ["local"], catch_exceptions=False)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    starting, while_ready = screen.file.getvalue().split("ready", 1)
    assert "starting" in starting
    assert "starting" not in while_ready
    assert "stopping" in while_ready
