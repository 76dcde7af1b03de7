"""The geometry of the timeline: both modalities as bars on one axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.records import Modality, TimelinePoint, Verdict
from workers.aggregator.reasons import clock

#: Size of the drawing, in its own units.
WIDTH = 1000
HEIGHT = 100
#: Ticks of the axis, both ends included.
TICKS = 5
#: Bars at most; a longer timeline is thinned by taking the highest of neighbours.
MAX_BARS = 250
#: Probabilities from which a bar is drawn darker, and darkest.
TONES = (0.5, 0.75)
#: Narrowest bar that is still seen, in the units of WIDTH.
MIN_WIDTH = 2.0


@dataclass(frozen=True)
class Bar:
    """One span: position and height in the drawing, and its tone 0 (low), 1 or 2 (high)."""

    x: float
    width: float
    height: float
    tone: int


@dataclass(frozen=True)
class Row:
    """One modality: its bars, and its highest point as clock time and percent."""

    name: str
    bars: tuple[Bar, ...]
    peak_at: str
    peak: float


@dataclass(frozen=True)
class Chart:
    """All rows on one axis."""

    rows: tuple[Row, ...]
    ticks: tuple[str, ...]


def timeline(verdict: Verdict, duration_s: float | None) -> Chart | None:
    """Lay out the timelines of a verdict; None where nothing was scored over time."""
    ends = [point.end_s for points in verdict.timeline.values() for point in points]
    length_s = max([*ends, duration_s or 0.0], default=0.0)
    if not ends or length_s <= 0:
        return None
    names: tuple[tuple[Modality, str], ...] = (("audio", "voice"), ("video", "picture"))
    rows = [
        _row(name, _thinned(verdict.timeline.get(modality, ())), length_s)
        for modality, name in names
    ]
    ticks = [clock(length_s * step / (TICKS - 1)) for step in range(TICKS)]
    return Chart(rows=tuple(rows), ticks=tuple(ticks))


def _row(name: str, points: list[TimelinePoint], length_s: float) -> Row:
    top = max(points, key=lambda point: point.probability, default=None)
    next_starts = [*(point.start_s for point in points[1:]), length_s]
    return Row(
        name=name,
        bars=tuple(
            _bar(point, min(point.end_s, max(following, point.start_s)), length_s)
            for point, following in zip(points, next_starts, strict=False)
        ),
        peak_at=clock(top.start_s) if top else "",
        peak=top.probability if top else 0.0,
    )


def _bar(point: TimelinePoint, end_s: float, length_s: float) -> Bar:
    """Draw one span up to where the next one begins: windows may overlap."""
    x = min(WIDTH * point.start_s / length_s, WIDTH - MIN_WIDTH)
    width = max(MIN_WIDTH, WIDTH * (end_s - point.start_s) / length_s)
    return Bar(
        x=round(x, 1),
        width=round(min(width, WIDTH - x), 1),
        height=round(max(3.0, HEIGHT * point.probability), 1),
        tone=sum(point.probability >= edge for edge in TONES),
    )


def _thinned(points: Iterable[TimelinePoint]) -> list[TimelinePoint]:
    """Merge neighbours into the highest of them until there are few enough bars."""
    kept = list(points)
    step = -(-len(kept) // MAX_BARS)
    if step <= 1:
        return kept
    groups = [kept[index : index + step] for index in range(0, len(kept), step)]
    return [
        TimelinePoint(
            start_s=group[0].start_s,
            end_s=group[-1].end_s,
            probability=max(point.probability for point in group),
        )
        for group in groups
    ]
