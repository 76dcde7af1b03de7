"""`guardian evaluate`: the detectors' error rates on anybody's labelled files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from shared.settings import get_settings
from workers.commands.basics import emit
from workers.commands.options import NewFile, json_option

_manifest = click.option(
    "--manifest",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV with file, label, group and any other columns; paths are relative to it.",
)
_by = click.option("--by", "columns", multiple=True, help="Column to report apart; repeatable.")
_scores = click.option(
    "--scores",
    type=NewFile(),
    help="Write what was said about each file to this CSV.",
)
_processes = click.option("--processes", type=click.IntRange(1), help="One a core by default.")


@click.group("evaluate")
def evaluate_command() -> None:
    """Measure error rates on labelled files, by group."""


@evaluate_command.command("audio")
@_manifest
@_by
@_processes
@_scores
@json_option
def evaluate_audio(
    manifest: Path,
    columns: tuple[str, ...],
    processes: int | None,
    scores: Path | None,
    as_json: bool,
) -> None:
    """Score voices; labels are bonafide and spoof."""
    from workers.evaluate import evaluate_audio as evaluate  # slow to import

    with _progress() as told:
        figures = evaluate(
            manifest,
            get_settings(),
            columns=columns,
            processes=processes,
            scores=scores,
            told=told,
        )
    _print(figures, as_json)


@evaluate_command.command("video")
@_manifest
@_by
@_processes
@click.option("--tamper", is_flag=True, help="Judge findings about the sequence of frames instead.")
@_scores
@json_option
def evaluate_video(
    manifest: Path,
    columns: tuple[str, ...],
    processes: int | None,
    tamper: bool,
    scores: Path | None,
    as_json: bool,
) -> None:
    """Score faces; labels are real and fake. With --tamper, a manifest of scripts/tamper.py."""
    from workers.evaluate import evaluate_video as evaluate  # slow to import
    from workers.evaluate_tamper import evaluate_tamper  # slow to import

    if tamper and (scores or columns):
        raise click.UsageError("--scores and --by are of faces; with --tamper there are none.")
    settings = get_settings()
    with _progress() as told:
        figures = (
            evaluate_tamper(manifest, settings, processes=processes, told=told)
            if tamper
            else evaluate(
                manifest,
                settings,
                columns=columns,
                processes=processes,
                scores=scores,
                told=told,
            )
        )
    _print(figures, as_json)


@evaluate_command.command("fusion")
@_manifest
@_processes
@_scores
@json_option
def evaluate_fusion(
    manifest: Path, processes: int | None, scores: Path | None, as_json: bool
) -> None:
    """Score whole recordings; the column `kind` says which part is manipulated.

    A column `label` (real or fake) may stand in for it.
    """
    from workers.evaluate_fusion import (  # slow to import
        evaluate_fusion as evaluate,
    )

    with _progress() as told:
        figures = evaluate(manifest, get_settings(), processes=processes, scores=scores, told=told)
    _print(figures, as_json)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], object]]:
    """Show on a terminal how many files are done; yields what is told of it."""
    err = Console(stderr=True)
    shown = (
        TextColumn("{task.completed} of {task.total} files"),
        BarColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*shown, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=None, visible=False)
        yield lambda done, of: progress.update(task, completed=done, total=of, visible=True)


def _print(figures: dict[str, Any], as_json: bool) -> None:
    """Print one JSON line, or the figures of the whole as a table."""
    if as_json:
        emit(figures)
        return
    table = Table("figure", "value")
    for name, value in figures.items():
        if not isinstance(value, dict | list) or _is_plain(value):
            table.add_row(name, _text(value))
    Console().print(table)
    for name, value in figures.items():
        if isinstance(value, dict) and value:
            Console().print(f"[bold]{name}[/bold]")
            Console().print_json(json.dumps(value, ensure_ascii=False))


def _is_plain(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, int | float | str) for item in value)


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
