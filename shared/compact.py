"""Keep a half small enough for one item of the jobs table, with all of it beside."""

from __future__ import annotations

from shared.agreement import blocks
from shared.records import (
    Analysis,
    Evidence,
    EvidenceRef,
    PartialResult,
    SyncSeries,
)

#: Two halves, a verdict that repeats their timelines, and the rest fit DynamoDB's 400 KB.
MAX_HALF_BYTES = 80_000
_FINDINGS = 100
_SYNC_VALUES = 6_000
_PERSONS = 50


def compact(analysis: Analysis) -> Analysis:
    """Return an analysis whose record fits; what did not fit is kept whole as evidence.

    The strongest findings, the longest-seen persons and the first stretches of a mouth stay.
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
            "findings": tuple(sorted(strongest, key=lambda finding: finding.start_s)),
            "persons": tuple(sorted(seen, key=lambda person: person.person)),
            "sync": _first_values(result),
            "evidence": (*result.evidence, ref),
        }
    )
    return Analysis(small, (*analysis.evidence, Evidence(ref, whole, "application/json")))


def _first_values(result: PartialResult) -> tuple[SyncSeries, ...]:
    """Keep all series of whole stretches from the start until there are enough values."""
    kept: list[SyncSeries] = []
    for block in blocks(result.sync):
        if sum(len(series.values) for series in (*kept, *block)) > _SYNC_VALUES:
            break
        kept += block
    return tuple(kept)
