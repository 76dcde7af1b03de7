"""The operators' commands: serve, console, pause, resume, dead letters, retry and live queues."""

from __future__ import annotations

import csv
import getpass
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.live import Live

from shared.records import Modality
from shared.settings import QUEUES, Settings, get_settings
from workers import terminal
from workers.options import PORT, NewFile, json_option, write

_WATCH_S = 2.0

queue_argument = click.argument("queue", type=click.Choice(QUEUES))
port_option = click.option("--port", type=PORT, help="Port to listen on.")
cause_option = click.option("--cause", help="Only those with this code, as `dlq list` shows it.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
one_option = click.option("--id", "message_id", help="Only the letter with this message id.")


def _settings() -> Settings:
    """Return settings that reach the installation; a local system is found by itself."""
    from workers import local

    settings = get_settings()
    return settings if settings.endpoint_url else local.find(settings) or settings


def _emit(document: Any) -> None:
    click.echo(terminal.document(document))


def _audit(settings: Settings, action: str, target: str, detail: str = "") -> None:
    from shared import audit

    audit.record(settings, f"cli:{getpass.getuser()}", action, target, datetime.now(UTC), detail)


def _log_set_up(settings: Settings) -> None:
    from shared.telemetry import configure_logging

    configure_logging(settings.log_format, settings.log_level)


@click.command()
@click.argument("modality", type=click.Choice(get_args(Modality)))
@port_option
def serve(modality: Modality, port: int | None) -> None:
    """Serve one analyzer over HTTP until SIGTERM, with a loaded model of its own."""
    from workers import analyzer_api

    settings = _settings()
    _log_set_up(settings)
    analyzer_api.run(settings, modality, port)


@click.command()
@port_option
def console(port: int | None) -> None:
    """Serve the operators' page and the JSON API until SIGTERM."""
    from workers import stored_page
    from workers.console import app

    settings = _settings()
    _log_set_up(settings)
    app.run(settings, stored_page.render, port)


@click.command()
@queue_argument
@json_option
def pause(queue: str, as_json: bool) -> None:
    """Ask the workers of QUEUE to take no new work; they finish what they have."""
    from shared import flags

    settings = _settings()
    _audit(settings, "pause", queue)
    flags.pause(settings, queue, f"cli:{getpass.getuser()}", datetime.now(UTC))
    if as_json:
        _emit({"queue": queue, "paused": True})
    else:
        click.echo(f"{queue} is paused; `guardian resume {queue}` lets it go on.")


@click.command()
@queue_argument
@json_option
def resume(queue: str, as_json: bool) -> None:
    """Let the workers of QUEUE take work again."""
    from shared import flags

    settings = _settings()
    _audit(settings, "resume", queue)
    flags.resume(settings, queue)
    if as_json:
        _emit({"queue": queue, "paused": False})
    else:
        click.echo(f"{queue} goes on.")


@click.group()
def dlq() -> None:
    """Read, redrive and discard dead letters."""


@dlq.command("list")
@queue_argument
@json_option
def dlq_list(queue: str, as_json: bool) -> None:
    """List the dead letters of QUEUE, with the cause of each."""
    from shared import letters
    from workers import show

    rows = letters.read(_settings(), queue)
    if as_json:
        documents = [row.model_dump(mode="json") for row in rows]
        _emit({"letters": documents, "causes": letters.by_cause(rows)})
    else:
        show.letters(Console(), rows)


@dlq.command("redrive")
@queue_argument
@one_option
@cause_option
@json_option
def dlq_redrive(queue: str, message_id: str | None, cause: str | None, as_json: bool) -> None:
    """Send the dead letters of QUEUE back to it."""
    from shared import letters

    settings = _settings()
    _audit(settings, "redrive", queue, message_id or cause or "all")
    _tell(letters.redrive(settings, queue, message_id, cause), "redriven", as_json)


@dlq.command("discard")
@queue_argument
@one_option
@cause_option
@yes_option
@json_option
def dlq_discard(
    queue: str, message_id: str | None, cause: str | None, yes: bool, as_json: bool
) -> None:
    """Remove dead letters of QUEUE for good; asks for the queue's name first."""
    from shared import letters

    settings = _settings()
    if not yes and click.prompt(f"Type {queue} to discard its dead letters", err=True) != queue:
        raise click.Abort
    _audit(settings, "discard", queue, message_id or cause or "all")
    _tell(letters.discard(settings, queue, message_id, cause), "discarded", as_json)


def _tell(done: list[Any], word: str, as_json: bool) -> None:
    if as_json:
        _emit({word: [letter.message_id for letter in done]})
    else:
        click.echo(f"{len(done)} {word}.")


@click.command("show")
@click.argument("job_id")
@json_option
@click.option("--html", type=NewFile(), help="Write its report as a page.")
@click.option("--language", type=click.Choice(["en", "ko"]), default="en", show_default=True)
def jobs_show(job_id: str, as_json: bool, html: Path | None, language: Any) -> None:
    """Show one job with its verdict."""
    from shared.jobs import JobStore
    from workers import show, stored_page

    settings = _settings()
    job = JobStore(settings).get(job_id)
    if html:
        write(html, stored_page.render(settings, job_id, language))
    if as_json:
        _emit(job.model_dump(mode="json"))
    else:
        show.job(Console(), job)


@click.command("retry")
@click.argument("job_id")
@json_option
def jobs_retry(job_id: str, as_json: bool) -> None:
    """Analyse a finished job again: its failed halves, or both where none failed."""
    from shared import repeat

    settings = _settings()
    _audit(settings, "retry", job_id)
    job = repeat.retry(settings, job_id)
    if as_json:
        _emit(job.model_dump(mode="json"))
    else:
        click.echo(f"{job_id} is queued again.")


@click.command("erase")
@click.argument("job_id")
@yes_option
@click.option("--receipt", type=NewFile(), help="Write the receipt to a file.")
@json_option
def jobs_erase(job_id: str, yes: bool, receipt: Path | None, as_json: bool) -> None:
    """Remove a job with its upload, evidence and reports for good, and write a receipt."""
    from shared import erasure

    settings = _settings()
    if not yes and click.prompt("Type the first eight digits of the id", err=True) != job_id[:8]:
        raise click.Abort
    _audit(settings, "erase", job_id)
    who = f"cli:{getpass.getuser()}"
    document = erasure.erase(settings, job_id, who, datetime.now(UTC))
    if receipt:
        write(receipt, json.dumps(document, ensure_ascii=False))
    if as_json:
        _emit(document)
    else:
        counts = ", ".join(f"{count} {kind}" for kind, count in document["removed"].items())
        signed = "signed" if "signature" in document else "not signed: no GUARDIAN_SIGNING_KEY_FILE"
        click.echo(f"{job_id} is erased ({counts}). Receipt: receipts/{job_id}.json, {signed}.")


@click.command("feedback")
@click.argument("job_id")
@click.option("--label", "truth", required=True, type=click.Choice(["genuine", "manipulated"]))
@click.option("--note", default="", help="How that is known.")
@json_option
def jobs_feedback(job_id: str, truth: Any, note: str, as_json: bool) -> None:
    """Store what a job turned out to be, for calibration and counts of false alarms."""
    from shared import feedback

    settings = _settings()
    _audit(settings, "feedback", job_id, truth)
    given = feedback.give(settings, job_id, truth, datetime.now(UTC), note)
    if as_json:
        _emit(given.model_dump(mode="json"))
    else:
        click.echo(f"{job_id} was called {given.label} and is {truth}.")


@click.command("feedback")
@click.option("--csv", "path", type=NewFile(), help="Write label and LLR of each job.")
@json_option
def feedback_summary(path: Path | None, as_json: bool) -> None:
    """Count how verdicts turned out, after `guardian jobs feedback`."""
    from shared import feedback

    rows = list(feedback.every(_settings()))
    if path:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["job_id", "label", "llr", "said", "model"])
            for row in rows:
                model = f"{row.model.name} {row.model.version}"
                writer.writerow([row.job_id, row.truth, row.llr, row.label, model])
    counted = feedback.counts(rows)
    if as_json:
        _emit(counted)
        return
    for name, count in counted.items():
        click.echo(f"{count:6} {name.replace('_', ' ')}")


@click.command()
@click.option("--watch", is_flag=True, help="Keep the table up to date until Ctrl-C.")
@json_option
def queues(watch: bool, as_json: bool) -> None:
    """Show how deep each queue is, as the console does; rates and times need --watch."""
    from workers import show
    from workers.console.board import Board, Overview

    board = Board(_settings())

    def look() -> Overview:
        board.tail.look()
        return board.sample()

    if watch and not as_json:
        _watch(lambda: show.queues(look()))
        return
    while True:
        overview = look()
        if as_json:
            _emit(overview.model_dump(mode="json", exclude={"queues": {"__all__": {"history"}}}))
        else:
            Console().print(show.queues(overview))
        if not watch:
            return
        time.sleep(_WATCH_S)


def _watch(render: Callable[[], Any]) -> None:
    """Redraw every two seconds until Ctrl-C."""
    with Live(render(), console=Console(), auto_refresh=False) as live:
        try:
            while True:
                time.sleep(_WATCH_S)
                live.update(render(), refresh=True)
        except KeyboardInterrupt:
            return


@click.command()
@click.option("--timeout", default=900.0, show_default=True, help="Seconds to wait for a verdict.")
@json_option
def probe(timeout: float, as_json: bool) -> None:
    """Send two known clips through the queues, and look whether their verdicts are right."""
    from workers import probe as probing

    answers = list(probing.probe(_settings(), timeout))
    if as_json:
        _emit({"probes": [answer.model_dump(mode="json") for answer in answers]})
    else:
        for answer in answers:
            said = "no evidence" if answer.llr is None else f"LLR {answer.llr:+.2f}"
            click.echo(f"{answer.clip}: {answer.outcome} ({said}, {answer.took_s:.0f} s)")
    if any(answer.outcome != "right" for answer in answers):
        raise SystemExit(1)


#: What `workers.cli` adds to the `guardian` command.
COMMANDS = (serve, console, pause, resume, dlq, queues, probe, feedback_summary)
