"""Somebody's labelled files: a CSV with a line for each, and one with what became of each."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import SetupError


@dataclass(frozen=True)
class Line:
    """One line of a manifest.

    Attributes:
        number: As an editor counts it; the last one of a row that goes over several.
        file: As it stands there.
        path: The same, relative to the manifest.
        group: Which files are alike; each is its own group where nobody says.
        columns: All that the line holds, by name of the column.
    """

    number: int
    file: str
    path: Path
    group: str
    columns: dict[str, str]


def read(manifest: Path, *needed: str) -> list[Line]:
    """Read a CSV file with the column `file` and others, in UTF-8, with or without a mark.

    Args:
        manifest: The CSV file.
        needed: Other columns that it must have; of `one|two`, one of both.

    Raises:
        SetupError: It cannot be read, has no line or lacks a column.
    """
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
            names = reader.fieldnames or ()
    except UnicodeDecodeError as error:
        raise SetupError(f"The manifest {manifest} is not written in UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise SetupError(f"The manifest {manifest} cannot be read: {error}.") from error
    if not rows or not all(set(name.split("|")) & set(names) for name in ("file", *needed)):
        wanted = ", ".join(name.replace("|", " or ") for name in ("file", *needed))
        raise SetupError(
            f"The manifest {manifest} needs lines with the columns {wanted}, between commas; "
            f"its first line names {', '.join(names) or 'none'}."
        )
    lines = []
    for number, row in rows:
        columns = {key: value or "" for key, value in row.items() if key}
        name = columns["file"]
        group = columns.get("group") or name
        lines.append(Line(number, name, manifest.parent / name, group, columns))
    return lines


def check(manifest: Path, paths: Sequence[Path], scores: Path | None = None) -> None:
    """Refuse what would be work for nothing.

    Raises:
        SetupError: None of the files is there, or the scores would be written over the manifest
            or a file of it.
    """
    there = [path for path in paths if _is_there(path)]
    if not there:
        raise SetupError(f"None of the {len(paths)} files is there; the first would be {paths[0]}.")
    if scores and scores.exists():
        for path in (manifest, *there):
            if scores.samefile(path):
                raise SetupError(f"The scores would be written over {path}.")


def _is_there(path: Path) -> bool:
    """Tell whether there is a file; a name that is too long, as by a lost quote, is none."""
    try:
        return path.exists()
    except OSError:
        return False


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write what became of each file as CSV; None is an empty cell.

    Raises:
        SetupError: It cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
    except OSError as error:
        raise SetupError(f"The scores cannot be written: {error}.") from error
