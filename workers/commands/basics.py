"""What several commands do alike: find the installation, print, and note what is done."""

from __future__ import annotations

import getpass
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from shared.settings import Settings, get_settings
from workers import terminal

#: Standard error; standard output is the answer's.
NOTES = Console(stderr=True, highlight=False)
#: How long a command waits for a verdict, in seconds.
PATIENCE_S = 900.0

file_argument = click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def emit(document: Any) -> None:
    """Print the one JSON document that ends standard output."""
    click.echo(terminal.document(document))


def installation() -> Settings:
    """Return settings that reach the installation; a local system is found by itself."""
    from workers import local

    settings = get_settings()
    if settings.endpoint_url is not None:
        return settings
    found = local.find(settings)
    if found is None:
        return settings
    NOTES.print(f"[dim]local system at {found.endpoint_url}[/dim]")
    return found


def caller() -> str:
    """Return who gives the command, as audit list and receipts name them."""
    return f"cli:{getpass.getuser()}"


def noted(
    settings: Settings, action: str, target: str, detail: str = ""
) -> AbstractContextManager[None]:
    """Write down in the audit list what somebody does by a command, in a block."""
    from shared import audit

    return audit.noted(settings, caller(), action, target, datetime.now(UTC), detail)


def set_up_logs(settings: Settings) -> None:
    """Set up the logs of a command that runs as a process."""
    from shared.telemetry import configure_logging

    configure_logging(settings.log_format, settings.log_level)
