"""The geometry of the timeline: both modalities as bars on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.records import Modality, TimelinePoint, Verdict
from workers.aggregator.reasons import clock

#: Size of the drawing, in its own units.
WIDTH = 1000
HEIGHT = 100
#: Ticks of the axis, both ends included.
TICKS = 5
#: Probabilities from which a bar is drawn darker, and darkest.
TONES = (0.5, 0.75)
#: Below these lengths the axis tells hundredths, and tenths of a second.
_MOMENT_S, _SHORT_S = 1.0, 10.0
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


@dataclass(frozen=True)
class Sound:
    """The picture of the sound on the axis of the rows.

    Attributes:
        width: Share of the axis that the picture covers, in percent.
        marks: Position and width of each suspicious stretch, in the units of WIDTH.
        spans_s: The same in seconds.
        ticks: The axis as clock times.
    """

    width: float
    marks: tuple[tuple[float, float], ...]
    spans_s: tuple[tuple[float, float], ...]
    ticks: tuple[str, ...]


def sound(verdict: Verdict, duration_s: float | None, end_s: float | None) -> Sound:
    """Lay out the picture of the sound, which ends at `end_s`, and mark where it is suspicious."""
    length_s = _length_s(verdict, duration_s) or end_s or 1.0
    spans: list[tuple[float, float]] = []
    for point in verdict.timeline.get("audio", ()):
        if point.probability < TONES[-1]:
            continue
        if spans and point.start_s <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], point.end_s))
        else:
            spans.append((point.start_s, point.end_s))
    scale = WIDTH / length_s
    marks = [(start * scale, min(end, length_s) * scale - start * scale) for start, end in spans]
    return Sound(
        width=round(min(100.0, 100 * (end_s or length_s) / length_s), 2),
        marks=tuple((round(x, 1), round(max(MIN_WIDTH, width), 1)) for x, width in marks),
        spans_s=tuple(spans),
        ticks=_ticks(length_s),
    )


def _length_s(verdict: Verdict, duration_s: float | None) -> float:
    ends = [point.end_s for points in verdict.timeline.values() for point in points]
    return max([*ends, duration_s or 0.0])


def _ticks(length_s: float) -> tuple[str, ...]:
    times_s = [length_s * step / (TICKS - 1) for step in range(TICKS)]
    if length_s < _SHORT_S:  # whole seconds would be told twice
        digits = 2 if length_s < _MOMENT_S else 1
        return tuple(f"0:{time_s:0{digits + 3}.{digits}f}" for time_s in times_s)
    return tuple(map(clock, times_s))


def timeline(verdict: Verdict, duration_s: float | None) -> Chart | None:
    """Lay out the timelines of a verdict; None where nothing was scored over time."""
    length_s = _length_s(verdict, duration_s)
    if not any(verdict.timeline.values()) or length_s <= 0:
        return None
    names: tuple[tuple[Modality, str], ...] = (("audio", "voice"), ("video", "picture"))
    rows = [_row(name, verdict.timeline.get(modality, ()), length_s) for modality, name in names]
    return Chart(rows=tuple(rows), ticks=_ticks(length_s))


def _row(name: str, points: Sequence[TimelinePoint], length_s: float) -> Row:
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
