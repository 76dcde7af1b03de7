"""What the options of several commands are made of."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from shared.containers import sniff_file
from shared.errors import GuardianError, SetupError

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _speak(context: click.Context, _: click.Parameter, language: str) -> str:
    """Let the errors that end the command be told in its language, too."""
    context.meta[LANGUAGE] = language
    return language


#: Where a command's language is noted for what it is called from.
LANGUAGE = "guardian.language"
language_option = click.option(
    "--language",
    type=click.Choice(["en", "ko"]),
    callback=_speak,
    default="en",
    show_default=True,
    help="Language of what people are told: verdict, page, errors.",
)

PORT = click.IntRange(0, 65_535)


class NewFile(click.Path):
    """A file to be written; refused before any work is done where that could not be."""

    def __init__(self) -> None:
        """Take any path but that of a directory."""
        super().__init__(path_type=Path, dir_okay=False, writable=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; one without a name, or of a recording, is refused."""
        if not value:
            self.fail("The name of a file is missing.", param, ctx)
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        new = not path.exists()
        if new and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
            self.fail(f"{path.parent} is no directory that can be written to.", param, ctx)
        if path.is_file() and _is_recording(path):
            self.fail(f"{path} is a recording; it is not written over.", param, ctx)
        return path


def not_the_same(html: Path | None, report: Path | None) -> None:
    """Refuse to write page and report to one file.

    Raises:
        click.UsageError: They are one file.
    """
    if html and report and html.absolute() == report.absolute():
        raise click.UsageError("--html and --report name the same file.")


def _is_recording(path: Path) -> bool:
    try:
        sniff_file(path)
    except (GuardianError, OSError):
        return False
    return True


def write(path: Path, content: str | bytes) -> None:
    """Write a `NewFile`, text in UTF-8.

    Raises:
        SetupError: It could not be written after all: the disk is full, a device takes nothing.
    """
    try:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise SetupError(f"{path} could not be written: {error.strerror}.") from error


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601; without a zone it is in UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time."""
        try:
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time such as 2026-03-01T12:00+09:00.", param, ctx)


class Finite(click.FloatRange):
    """A number in a range; neither infinite nor none at all."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number
