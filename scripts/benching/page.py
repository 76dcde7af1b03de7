"""Puts tables and pictures between the marks of docs/performance.md."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Sequence
from pathlib import Path

from benching.showing import Bars, Table, markdown, svg


def machine() -> str:
    """Describe this machine in words: processors and their model."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} cores, {model[1] if model else 'unknown processor'}"


def write(path: Path, name: str, tables: Sequence[Table], bars: Bars, quick: bool) -> None:
    """Replace what stands between a bench's marks by its tables and its picture.

    Raises:
        ValueError: The page has no marks of that name.
    """
    begin, end = f"<!-- bench {name} -->", f"<!-- end {name} -->"
    before, found, rest = path.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{path} has no marks for {name}.")
    picture = path.with_name(f"performance-{name}.svg")
    picture.write_text(svg(bars))
    day = dt.datetime.now(dt.UTC).date().isoformat()
    how = f"`scripts/bench {name}{' --quick' if quick else ''}`, {day}, {machine()}."
    body = "\n\n".join([how, *map(markdown, tables), f"![{bars.title}]({picture.name})"])
    path.write_text(f"{before}{begin}\n{body}\n{end}{after}")
