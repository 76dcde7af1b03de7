"""Tables for a terminal and for a page, and bars as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

Row = Mapping[str, Any]
_BAR_PX, _LABEL_PX, _WIDTH_PX = 22, 300, 760


@dataclass(frozen=True)
class Table:
    """Rows under a heading; all rows have the same keys."""

    title: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Bars:
    """Values to draw, with lines at what is aimed at."""

    title: str
    unit: str
    values: Mapping[str, float]
    aims: Mapping[str, float] = field(default_factory=dict)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def text(table: Table) -> str:
    """Return a table for a terminal."""
    if not table.rows:
        return table.title
    lines = [list(table.rows[0]), *([_cell(value) for value in row.values()] for row in table.rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    body = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([table.title, *body])


def markdown(table: Table) -> str:
    """Return a table for a page."""
    if not table.rows:
        return ""
    heads = list(table.rows[0])
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    lines += [[_cell(value) for value in row.values()] for row in table.rows]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{table.title}**\n\n{rows}"


def svg(bars: Bars) -> str:
    """Draw bars, one under the other."""
    most = max([*bars.values.values(), *bars.aims.values(), 1e-9]) * 1.15
    scale = (_WIDTH_PX - _LABEL_PX - 10) / most
    height = 60 + _BAR_PX * len(bars.values)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH_PX} {height}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{_WIDTH_PX}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-weight="bold">{escape(bars.title)} ({escape(bars.unit)})</text>',
    ]
    for at, (label, value) in enumerate(bars.values.items()):
        top = 32 + at * _BAR_PX
        parts += [
            f'<text x="{_LABEL_PX - 8}" y="{top + 13}" text-anchor="end">{escape(label)}</text>',
            (
                f'<rect x="{_LABEL_PX}" y="{top + 2}" width="{value * scale:.1f}" height="14" '
                'fill="#3a6ea5"/>'
            ),
            f'<text x="{_LABEL_PX + value * scale + 4:.1f}" y="{top + 13}">{_cell(value)}</text>',
        ]
    for label, value in bars.aims.items():
        at_px = _LABEL_PX + value * scale
        parts += [
            (
                f'<line x1="{at_px:.1f}" x2="{at_px:.1f}" y1="28" y2="{height - 22}" '
                'stroke="#b03030" stroke-dasharray="4 3"/>'
            ),
            (
                f'<text x="{at_px:.1f}" y="{height - 8}" text-anchor="middle" fill="#b03030">'
                f"{escape(label)}</text>"
            ),
        ]
    return "\n".join([*parts, "</svg>\n"])
