"""Options of commands: what cannot be written is refused first, and no command loads another's."""

import json
import subprocess
import sys
from datetime import UTC

import click
import pytest
from click.testing import CliRunner

from shared import feedback
from workers.cli import main
from workers.commands.options import Moment, NewFile
from workers.samples import SAMPLES

pytestmark = pytest.mark.unit


@click.command()
@click.option("--out", type=NewFile())
def write(out):
    out.write_text("done")


def test_a_file_that_can_be_written_is_taken_whether_it_is_there_or_not(tmp_path):
    for _ in range(2):
        assert CliRunner().invoke(write, ["--out", str(tmp_path / "out.csv")]).exit_code == 0

    assert (tmp_path / "out.csv").read_text() == "done"


def test_what_is_there_already_need_not_lie_in_a_directory_that_can_be_written_to():
    assert CliRunner().invoke(write, ["--out", "/dev/null"]).exit_code == 0


def test_a_recording_is_not_written_over(tmp_path):
    path = tmp_path / "evidence.mp4"
    path.write_bytes(SAMPLES[0].read_bytes())

    done = CliRunner().invoke(write, ["--out", str(path)])

    assert (done.exit_code, path.read_bytes()) == (2, SAMPLES[0].read_bytes())
    assert "is a recording" in done.output
    assert CliRunner().invoke(write, ["--out", ""]).exit_code == 2


@pytest.mark.parametrize("name", ["missing/out.csv", "file/out.csv", "."])
def test_what_cannot_be_written_is_refused_before_any_work(tmp_path, name):
    (tmp_path / "file").write_text("")

    done = CliRunner().invoke(write, ["--out", str(tmp_path / name)])

    assert done.exit_code == 2
    assert "director" in done.output


@pytest.mark.parametrize(
    "line",
    [
        ["verify", "/not/there", "--json"],
        ["jobs", "list", "--before", "yesterday", "--json"],
        ["jobs", "shwo", "--json"],
        ["analyze", "--jsn", "--json"],
    ],
)
def test_a_wrong_line_is_a_document_too_where_documents_are_asked_for(line, monkeypatch):
    monkeypatch.setattr("sys.argv", ["guardian", *line])
    told = CliRunner().invoke(main, line)
    monkeypatch.setattr("sys.argv", ["guardian", *line[:-1]])
    said = CliRunner().invoke(main, line[:-1])

    error = json.loads(told.stderr)["error"]
    assert (told.exit_code, told.stdout, error["code"]) == (2, "", "usage")
    assert (said.exit_code, said.stdout) == (2, "")
    assert f"Error: {error['message']}" in said.stderr


def test_the_command_starts_without_what_only_analyses_need():
    code = "import sys, workers.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    assert "workers.commands.evaluate" in loaded
    assert not loaded & {"numpy", "boto3", "celery", "cv2", "onnxruntime", "yaml", "fastapi"}


@pytest.mark.parametrize(
    ("text", "hour"), [("2026-03-01T12:00", 12), ("2026-03-01T12:00+09:00", 3), ("2026-03-01", 0)]
)
def test_a_time_is_in_utc(text, hour):
    moment = Moment().convert(text, None, None)

    assert (moment.hour, moment.tzinfo) == (hour, UTC)
    with pytest.raises(click.BadParameter, match="no time"):
        Moment().convert("yesterday", None, None)


@pytest.mark.parametrize("speed", ["0", "-1"])
def test_a_speed_is_more_than_0_as_the_help_says(speed):
    load = ["plan", "--uploads-per-hour", "1", "--minutes", "1"]

    assert CliRunner().invoke(main, [*load, "--audio-speed", speed]).exit_code == 2
    assert "None]" not in CliRunner().invoke(main, ["plan", "--help"]).stdout


@pytest.mark.parametrize("option", ["--scores", "--by"])
def test_what_is_of_faces_is_refused_where_none_are_looked_for(tmp_path, option):
    manifest = tmp_path / "list.csv"
    manifest.write_text("file,label,start_s,end_s\n")
    tamper = ["evaluate", "video", "--tamper", "--manifest", str(manifest)]

    done = CliRunner().invoke(main, [*tamper, option, str(tmp_path / "kind.csv")])

    assert (done.exit_code, "are of faces" in done.output) == (2, True)


def test_what_cannot_be_written_in_the_end_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setattr(feedback, "every", lambda _: [])

    done = CliRunner().invoke(main, ["feedback", "--csv", "/dev/full"])

    assert isinstance(done.exception, SystemExit), done.exception
    assert (done.exit_code, "No space left on device" in done.stderr) == (1, True)


def test_the_help_tells_what_every_command_does_to_the_end():
    told = CliRunner().invoke(main, ["--help"]).stdout

    assert told.count("...") == 1  # of the usage line
    assert all(f"\n  {name} " in told for name in main.commands)
