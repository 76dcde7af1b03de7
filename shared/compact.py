"""Keep a half small enough for one item of the jobs table, with all of it beside."""

from __future__ import annotations

from collections.abc import Sequence

from shared.agreement import blocks
from shared.records import (
    Analysis,
    Evidence,
    EvidenceRef,
    PartialResult,
    SyncSeries,
    TimelinePoint,
)

#: Two halves, a verdict that repeats their timelines, and the rest fit DynamoDB's 400 KB.
MAX_HALF_BYTES = 80_000
_TIMELINE_POINTS = 400
_FINDINGS = 100
_SYNC_VALUES = 6_000
_PERSONS = 50


def compact(analysis: Analysis) -> Analysis:
    """Return an analysis whose record fits; what did not fit is kept whole as evidence.

    Neighbouring points of the timeline are merged, each with the highest probability of those it
    stands for. The strongest findings and the longest-seen persons stay.
    """
    result = analysis.result
    whole = result.model_dump_json().encode()
    if len(whole) <= MAX_HALF_BYTES:
        return analysis
    ref = EvidenceRef(name=f"{result.modality}-full.json", kind="full_result", start_s=0.0)
    strongest = sorted(result.findings, key=lambda finding: -finding.strength)[:_FINDINGS]
    seen = sorted(result.persons, key=lambda person: -person.frames)[:_PERSONS]
    small = result.model_copy(
        update={
            "timeline": merge(result.timeline, _TIMELINE_POINTS),
            "findings": tuple(sorted(strongest, key=lambda finding: finding.start_s)),
            "persons": tuple(sorted(seen, key=lambda person: person.person)),
            "sync": _first_values(result),
            "evidence": (*result.evidence, ref),
        }
    )
    return Analysis(small, (*analysis.evidence, Evidence(ref, whole, "application/json")))


def merge(timeline: Sequence[TimelinePoint], limit: int) -> tuple[TimelinePoint, ...]:
    """Merge neighbouring points into at most `limit`, keeping the highest probability of each."""
    step = -(-len(timeline) // limit) if timeline else 1
    groups = (timeline[start : start + step] for start in range(0, len(timeline), step))
    return tuple(
        TimelinePoint(
            start_s=group[0].start_s,
            end_s=group[-1].end_s,
            probability=max(point.probability for point in group),
        )
        for group in groups
    )


def _first_values(result: PartialResult) -> tuple[SyncSeries, ...]:
    """Keep all series of whole stretches from the start until there are enough values."""
    kept: list[SyncSeries] = []
    for block in blocks(result.sync):
        if sum(len(series.values) for series in (*kept, *block)) > _SYNC_VALUES:
            break
        kept += block
    return tuple(kept)
