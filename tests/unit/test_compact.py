"""A half of a very long recording still fits its item, and nothing of it is lost."""

import json

from shared.agreement import blocks
from shared.compact import MAX_HALF_BYTES, compact
from shared.records import Analysis, Finding, Outcome, PartialResult, SyncSeries, TimelinePoint
from workers.audio.pooling import MAX_POINTS


def long_half(hours: int) -> PartialResult:
    step_s = hours * 3600 / MAX_POINTS
    points = tuple(
        TimelinePoint(
            start_s=round(step_s * n, 3),
            end_s=round(step_s * (n + 1), 3),
            probability=round((n % 97) / 97, 4),
        )
        for n in range(MAX_POINTS)
    )
    findings = tuple(
        Finding(type="frozen", start_s=n, end_s=n + 1, detail="a" * 80, strength=n / 3000)
        for n in range(3000)
    )
    sync = tuple(
        SyncSeries(rate_hz=25, start_s=n * 10, values=tuple(range(100, 200))) for n in range(200)
    )
    return PartialResult(
        modality="audio", outcome=Outcome.SCORED, timeline=points, findings=findings, sync=sync
    )


def test_a_small_half_is_left_as_it_is():
    analysis = Analysis(PartialResult(modality="audio", outcome=Outcome.SCORED, llr=1.5))

    assert compact(analysis) is analysis


def test_hours_of_sound_fit_an_item_and_the_whole_is_kept_beside():
    half = long_half(4)

    small = compact(Analysis(half))

    assert len(small.result.model_dump_json()) <= MAX_HALF_BYTES
    (kept,) = small.evidence
    assert PartialResult.model_validate(json.loads(kept.content)) == half
    assert small.result.timeline == half.timeline
    assert small.result.findings[-1].strength == half.findings[-1].strength


def test_of_mouths_whole_stretches_stay():
    sync = tuple(
        SyncSeries(rate_hz=25, start_s=n // 5 * 10, values=tuple(range(100, 190)))
        for n in range(500)
    )
    half = long_half(4).model_copy(update={"sync": sync})

    kept = compact(Analysis(half)).result.sync

    assert kept
    assert {len(block) for block in blocks(kept)} == {5}


def test_the_file_and_the_fleet_name_what_is_kept_beside():
    small = compact(Analysis(long_half(4)))

    assert [ref.name for ref in small.result.evidence] == ["audio-full.json"]
