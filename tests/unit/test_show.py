"""What the commands print: every figure of a job, and nothing that an uploader can act with."""

import io
import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from rich.console import Console

from shared.errors import ServiceUnavailable
from shared.letters import Letter
from shared.models import Registry
from shared.records import (
    Coverage,
    Job,
    JobError,
    JobStatus,
    ModelRef,
    Outcome,
    PartialResult,
    Reason,
    Verdict,
)
from shared.rows import JobSummary
from shared.settings import Settings
from workers import onefile, show, terminal
from workers.aggregator import reasons
from workers.cli import main
from workers.commands import operating
from workers.console.board import Overview, QueueView

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)
#: Markup that closes what is not open, a link, a terminal's title and colour, text turned around.
HOSTILE = "[/bold] [link=http://x.test]x[/link] \x1b]0;title\x07\x1b[31m \x9b31m \u202emp4.exe"
SHOWN = "[/bold] [link=http://x.test]x[/link] �]0;title��[31m �31m �mp4.exe"


def shown(draw, *what, width=250):
    """What a terminal of so many columns gets, without the colours and frames that are ours."""
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False)
    draw(console, *what)
    return out.getvalue()


def job(**more):
    fields = {
        "job_id": "f0" * 16,
        "bucket": "uploads",
        "key": f"uploads/{HOSTILE}",
        "status": JobStatus.RUNNING,
        "created_at": NOW,
        "updated_at": NOW,
        "expires_at": NOW,
    }
    return Job(**fields | more)


def summary(**more):
    fields = {"status": JobStatus.REJECTED, "bucket": "uploads", "created_at": NOW}
    return JobSummary(job_id="f0" * 16, key=f"uploads/{HOSTILE}", updated_at=NOW, **fields | more)


def test_no_text_from_outside_acts_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=250)
    console.print(terminal.plain(HOSTILE), highlight=False)

    assert console.file.getvalue() == f"{SHOWN}\n"
    assert terminal.document({"key": HOSTILE}).isprintable()
    assert json.loads(terminal.document({"key": HOSTILE, "목": 1})) == {"key": HOSTILE, "목": 1}


def test_errors_are_told_in_the_language_that_is_asked_for(tmp_path, monkeypatch):
    settings = Settings(max_upload_bytes=8)
    monkeypatch.setattr("workers.commands.files.get_settings", lambda: settings)

    def told(content, language):
        (tmp_path / "a.mp4").write_bytes(content)
        command = ["analyze", str(tmp_path / "a.mp4"), "--language", language]
        return CliRunner().invoke(main, command).stderr.replace("\n", " ").strip()

    assert told(b"", "en") == "empty_object: The object has no bytes."
    assert told(b"", "ko") == "empty_object: 빈 파일입니다."
    assert told(b"nine bytes", "ko").startswith("too_large: 파일이 너무 큽니다. (The file has 10 ")


@pytest.mark.parametrize("command", ["analyze", "submit"])
def test_a_file_that_is_not_there_is_a_slip_of_the_command_line(tmp_path, command):
    done = CliRunner().invoke(main, [command, str(tmp_path / "gone.mp4")])

    assert (done.exit_code, "gone.mp4' does not exist" in done.stderr) == (2, True)


def test_what_became_of_a_half_is_told_in_the_language_that_is_asked_for():
    half = PartialResult(
        modality="audio", outcome=Outcome.NOT_APPLICABLE, reason="no_speech", message="No speech."
    )
    item = job(audio=half, error=JobError(code="no_verdict", message="No verdict."))

    assert "(no_speech: 말소리를 찾지 못했습니다.)" in shown(show.job, item, "ko")
    assert "no_verdict: 여러 번 시도했지만" in shown(show.job, item, "ko")
    assert "(no_speech: No speech.)" in shown(show.job, item, "en")


def test_a_job_with_a_hostile_key_and_message_is_shown_as_it_is():
    error = JobError(code="rejected", message=HOSTILE)
    failed = PartialResult(
        modality="audio", outcome=Outcome.FAILED, reason="undecodable", message=HOSTILE
    )
    text = shown(show.job, job(error=error, audio=failed))

    assert f"running  uploads/{SHOWN}" in text
    assert f"rejected: {SHOWN}" in text
    assert f"audio: failed (undecodable: {SHOWN})" in text


def test_the_halves_of_a_job_are_shown_with_probability_and_ratio():
    scored = PartialResult(
        modality="video",
        outcome=Outcome.SCORED,
        llr=-1.5,
        probability=0.18,
        coverage=Coverage(faces=9),
    )

    assert "video: scored, probability 0.18, LLR -1.50" in shown(show.job, job(video=scored))


def verdict(**more):
    model = ModelRef(name="fusion", version="1", sha256="0" * 64)
    reason = Reason(code="voice_signs", text="The voice may be synthetic.")
    fields = {"label": "suspicious", "prior": 0.1, "reasons": (reason,), "model": model}
    return Verdict(decided_at=NOW, **fields | more)


def test_a_verdict_is_told_in_the_language_asked_for():
    english = shown(show.job, job(verdict=verdict()), "en")
    korean = shown(show.job, job(verdict=verdict()), "ko")

    assert "What to do: Do not act on this recording yet." in english
    assert "조작이 의심되는 점이 있습니다" in korean
    assert reasons.REGISTRY["voice_signs"].ko.split("{")[0] in korean
    assert "이렇게 하세요: 아직은 이 내용만 믿고 행동하지 마세요." in korean


def test_no_probability_is_told_as_0_or_1():
    sure = verdict(probability=0.998, interval=(0.001, 1.0))
    half = PartialResult(modality="audio", outcome=Outcome.SCORED, llr=9.0, probability=0.9999)
    text = shown(show.job, job(verdict=sure, audio=half))
    text += shown(show.jobs, [summary(probability=0.0)])

    assert "probability 0.99 [0.01-0.99] at prior 0.10" in text
    assert "scored, probability 0.99" in text
    assert " 0.01 " in text
    assert "1.00" not in text


@pytest.mark.parametrize("options", [["--language", "ko"], ["--json"]])
def test_a_terminal_that_is_not_utf_8_loses_signs_and_no_verdict(monkeypatch, tmp_path, options):
    decided = job(verdict=verdict(), key="uploads/목.mp4")
    (tmp_path / "목.mp4").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(onefile, "analyze_file", lambda *_: (decided, {}))

    done = CliRunner(charset="ascii").invoke(main, ["analyze", "목.mp4", *options])

    assert (done.exit_code, "suspicious" in done.stdout) == (0, True), done.exception
    if "--json" in options:
        assert json.loads(done.stdout)["file"] == "목.mp4"


def test_a_list_names_the_verdict_or_why_there_is_none():
    rejected = summary(error=JobError(code="too_large", message="It has 600 MB."))
    done = summary(status=JobStatus.COMPLETE, label="suspicious", probability=0.6789)
    lines = shown(show.jobs, [rejected, done]).splitlines()

    assert any("too_large" in line and SHOWN in line for line in lines)
    assert any("suspicious 0.68" in line for line in lines)


def test_dead_letters_are_counted_by_cause():
    letters = [
        Letter(
            message_id=f"id-{number}",
            queue="audio",
            sent_at=NOW,
            receives=5,
            cause=HOSTILE,
            code="service_unavailable",
            body="{}",
        )
        for number in range(2)
    ]
    text = shown(show.letters, letters)

    assert f"service_unavailable: {SHOWN}" in text
    assert "2  service_unavailable" in text


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_and_a_pipe_lose_nothing_of_lists(width):
    done = summary(status=JobStatus.COMPLETE, label="likely_manipulated", probability=0.98)
    letter = Letter(
        message_id="317e7f1b-8bfc-436f-8b89-5103f22a15ac",
        queue="audio",
        sent_at=NOW,
        receives=5,
        cause="AWS answered InternalError while reading the object.",
        code="service_unavailable",
        body="{}",
        job_id="f0" * 16,
    )

    row = shown(show.jobs, [done], width=width).splitlines()[-1]
    assert row.split("  ")[:4] == ["f0" * 16, "complete", "likely_manipulated 0.98", "11-26 02:00"]
    assert row.endswith(f"uploads/{SHOWN}")

    named = job(key=f"uploads/{'long ' * 20}.mp4", error=JobError(code="x", message="y " * 80))
    assert len(shown(show.job, named, width=width).splitlines()) == 2

    row = shown(show.letters, [letter], width=width).splitlines()[1]
    assert letter.message_id in row
    assert letter.job_id in row
    assert row.endswith(f"service_unavailable: {letter.cause}")


@pytest.mark.parametrize("name", ["uploads", "audio", "video", "aggregate"])
def test_each_queue_has_its_name_on_a_narrow_terminal(name):
    overview = Overview(
        at=NOW, queues=[queue(queue=name)], arrivals_per_min=2, mean_media_s=None, workers=[]
    )
    text = shown(lambda console: console.print(show.queues(overview)), width=60)

    assert name in text
    assert "…" not in text


def test_the_models_are_named_in_full_on_a_narrow_terminal():
    registry = Registry(None)
    text = shown(show.models, registry, width=80)

    words = text.replace(",", "").split()
    for entry in registry.entries.values():
        assert {entry.name, entry.version, *entry.measured} <= set(words)
    assert "…" not in text


def queue(**more):
    fields = {
        "queue": "video",
        "name": "guardian-video",
        "visible": 1200,
        "in_flight": 3,
        "delayed": 0,
        "dead": 2,
        "paused": None,
        "oldest_s": 75,
        "done_per_min": None,
        "eta_s": 5400,
        "backlog_media_s": 59,
        "history": [],
    }
    return QueueView(**fields | more)


def test_queues_are_shown_with_times_in_their_largest_unit():
    overview = Overview(at=NOW, queues=[queue()], arrivals_per_min=2, mean_media_s=None, workers=[])
    text = shown(lambda console: console.print(show.queues(overview)))

    for figure in ("video", "1200", "1.2 min", "–", "59 s", "1.5 h"):
        assert figure in text
    assert "workers alive: none" in text


def test_a_watch_outlasts_a_fault_that_passes(monkeypatch, capsys):
    answers = iter(["at first", ServiceUnavailable(), "later", KeyboardInterrupt()])

    def render():
        answer = next(answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(operating, "_WATCH_S", 0)
    operating._watch(render)

    shown = capsys.readouterr().out
    assert "service_unavailable" in shown
    assert "later" in shown
