"""Draws a plan as one SVG picture: pods over time, and messages that wait."""

from __future__ import annotations

from typing import Any

_WIDTH, _PANEL, _LEFT, _TOP, _GAP = 760, 150, 56, 34, 48
_COLOURS = {"audio": "#2563eb", "video": "#c2410c"}
_ANCHORS = {0.0: "start", 0.5: "middle", 1.0: "end"}
_ROWS = (("pods_over_time", "pods"), ("queued_over_time", "messages waiting"))


def svg(document: dict[str, Any]) -> str:
    """Return the picture of a plan's JSON document."""
    height = _TOP + len(_ROWS) * (_PANEL + _GAP)
    load = document["load"]
    title = (
        f"{load['uploads_per_hour']:g} uploads an hour of {load['minutes']:g} minutes, "
        f"p95 wait at most {document['target_wait_s']:g} s"
    )
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12" role="img">'
        ),
        f"<title>{title}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14" fill="#111827">{title}</text>',
    ]
    for index, (key, label) in enumerate(_ROWS):
        top = _TOP + 12 + index * (_PANEL + _GAP)
        parts += _panel(document["workers"], key, label, top)
    return "\n".join([*parts, "</svg>\n"])


def _panel(workers: dict[str, Any], key: str, label: str, top: int) -> list[str]:
    longest = max(series[key][-1][0] for series in workers.values()) or 1.0
    most = max(value for series in workers.values() for _, value in series[key]) or 1
    right, bottom = _WIDTH - 16, top + _PANEL
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * _PANEL
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#e5e7eb"/>')
        parts.append(
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#4b5563">'
            f"{most * share:.0f}</text>"
        )
        x = _LEFT + share * (right - _LEFT)
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="{_ANCHORS[share]}" fill="#4b5563">'
            f"{longest * share / 60:.0f} min</text>"
        )
    for position, (name, series) in enumerate(workers.items()):
        points = " ".join(
            f"{_LEFT + at / longest * (right - _LEFT):.1f},{bottom - value / most * _PANEL:.1f}"
            for at, value in series[key]
        )
        colour = _COLOURS[name]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts.append(
            f'<text x="{right - 110 + 60 * position}" y="{top - 4}" fill="{colour}">{name}</text>'
        )
    parts.append(f'<text x="{_LEFT}" y="{top - 4}" fill="#111827">{label}</text>')
    return parts
