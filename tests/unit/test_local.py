"""The local system beside another one, or beside what has its port; nothing is started."""

import json
import os
import socket

import pytest
from click.testing import CliRunner

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

    note(settings, local._free_port())
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
