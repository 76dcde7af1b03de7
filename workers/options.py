"""What the options of several commands are made of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


class NewFile(click.Path):
    """A file to be written; refused before any work is done where that could not be."""

    def __init__(self) -> None:
        """Take any path but that of a directory."""
        super().__init__(path_type=Path, dir_okay=False, writable=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        new = not path.exists()
        if new and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
            self.fail(f"{path.parent} is no directory that can be written to.", param, ctx)
        return path
