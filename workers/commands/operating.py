"""The operators' commands: provision, pause, resume, dead letters, live queues and a probe."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from shared.errors import Retryable
from shared.settings import QUEUES, get_settings
from workers import terminal
from workers.commands.basics import PATIENCE_S, caller, emit, installation, noted, yes_option
from workers.commands.options import json_option

_WATCH_S = 2.0

queue_argument = click.argument("queue", type=click.Choice(QUEUES))
cause_option = click.option("--cause", help="Only those with this code, as `dlq list` shows it.")
one_option = click.option("--id", "message_id", help="Only the letter with this message id.")


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be made.")
@json_option
def provision(dry_run: bool, as_json: bool) -> None:
    """Make buckets, notifications, queues, dead letters and table from deploy/aws/stack.yaml."""
    from workers.provision import provision as make

    plan = make(get_settings(), dry_run=dry_run)
    emit(plan.document()) if as_json else click.echo(plan.text())


@click.command()
@queue_argument
@json_option
def pause(queue: str, as_json: bool) -> None:
    """Ask the workers of QUEUE to take no new work; they finish what they have."""
    from shared import flags

    settings = installation()
    with noted(settings, "pause", queue):
        flags.pause(settings, queue, caller(), datetime.now(UTC))
    if as_json:
        emit({"queue": queue, "paused": True})
    else:
        click.echo(f"{queue} is paused; `guardian resume {queue}` lets it go on.")


@click.command()
@queue_argument
@json_option
def resume(queue: str, as_json: bool) -> None:
    """Let the workers of QUEUE take work again."""
    from shared import flags

    settings = installation()
    with noted(settings, "resume", queue):
        flags.resume(settings, queue)
    if as_json:
        emit({"queue": queue, "paused": False})
    else:
        click.echo(f"{queue} goes on.")


@click.group()
def dlq() -> None:
    """Read, redrive and discard dead letters."""


@dlq.command("list")
@queue_argument
@json_option
def dlq_list(queue: str, as_json: bool) -> None:
    """List dead letters of QUEUE, 200 at most, with the cause of each."""
    from shared import letters
    from workers import show

    rows = letters.read(installation(), queue)
    if as_json:
        documents = [row.model_dump(mode="json") for row in rows]
        causes = letters.by_cause(rows)
        emit({"letters": documents, "causes": causes, "cut": letters.cut(rows)})
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

    settings = installation()
    with noted(settings, "redrive", queue, message_id or cause or "all"):
        done = letters.redrive(settings, queue, message_id, cause)
    _tell(done, "redriven", as_json)


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

    settings = installation()
    if not yes and click.prompt(f"Type {queue} to discard its dead letters", err=True) != queue:
        raise click.Abort
    with noted(settings, "discard", queue, message_id or cause or "all"):
        done = letters.discard(settings, queue, message_id, cause)
    _tell(done, "discarded", as_json)


def _tell(done: list[Any], word: str, as_json: bool) -> None:
    if as_json:
        emit({word: [letter.message_id for letter in done]})
    else:
        click.echo(f"{len(done)} {word}.")


@click.command()
@click.option("--watch", is_flag=True, help="Keep the table up to date until Ctrl-C.")
@json_option
def queues(watch: bool, as_json: bool) -> None:
    """Show how deep each queue is, as the console does; rates and times need --watch."""
    from workers import show
    from workers.console.board import Board, Overview

    board = Board(installation())

    def look() -> Overview:
        board.tail.look()
        return board.sample()

    if watch and not as_json:
        _watch(lambda: show.queues(look()))
        return
    while True:
        overview = look()
        if as_json:
            emit(overview.model_dump(mode="json", exclude={"queues": {"__all__": {"history"}}}))
        else:
            Console().print(show.queues(overview))
        if not watch:
            return
        time.sleep(_WATCH_S)


def _watch(render: Callable[[], Any]) -> None:
    """Redraw every two seconds until Ctrl-C; a fault that passes is told above the last figures."""
    with Live(render(), console=Console(), auto_refresh=False) as live:
        while True:
            try:
                time.sleep(_WATCH_S)
                live.update(render(), refresh=True)
            except Retryable as error:
                live.console.print(f"[red]{error.code}[/red]: {terminal.plain(error.message)}")
            except KeyboardInterrupt:
                return


@click.command()
@click.option("--timeout", default=PATIENCE_S, show_default=True, help="Seconds to wait at most.")
@json_option
def probe(timeout: float, as_json: bool) -> None:
    """Send two known clips through the queues, and look whether their verdicts are right."""
    from workers import probe as probing

    answers = list(probing.probe(installation(), timeout))
    if as_json:
        emit({"probes": [answer.model_dump(mode="json") for answer in answers]})
    else:
        for answer in answers:
            said = "no evidence" if answer.llr is None else f"LLR {answer.llr:+.2f}"
            click.echo(f"{answer.clip}: {answer.outcome} ({said}, {answer.took_s:.0f} s)")
    if any(answer.outcome != "right" for answer in answers):
        raise SystemExit(1)
