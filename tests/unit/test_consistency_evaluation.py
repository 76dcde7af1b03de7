"""Counting findings about the sequence of frames against the truth."""

from pathlib import Path

import pytest

from shared.errors import SetupError
from shared.records import Finding
from workers.evaluate_tamper import (
    Clip,
    Examined,
    count,
    overlap,
    read_clips,
)


def clip(label: str, start_s: float, end_s: float, group: str = "a", kind: str = "") -> Clip:
    return Clip(Path("clip.mp4"), label, start_s, end_s, group, kind)


def seen(*findings: tuple[str, float, float], step: float = 8.0, seen_s: float = 36.0) -> Examined:
    made = tuple(
        Finding(type=kind, start_s=start_s, end_s=end_s, detail="Seen.")
        for kind, start_s, end_s in findings
    )
    return Examined(made, seen_s, step)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 2), (0, 2), 1.0),
        ((0, 2), (1, 3), 1 / 3),
        ((0, 1), (2, 3), 0.0),
        ((1, 1), (1, 1), 0.0),
    ],
)
def test_overlap_is_intersection_over_union(one, other, expected):
    assert overlap(one, other) == pytest.approx(expected)


def test_recall_needs_the_right_type_in_the_right_place():
    clips = [clip("frozen_run", 1, 2) for _ in range(4)]
    examined = [
        seen(("frozen_run", 1.0, 2.1)),
        seen(("frozen_run", 3.0, 4.0)),
        seen(("duplicated_run", 1.0, 2.0)),
        seen(),
    ]

    figures = count(clips, examined)["types"]["frozen_run"]

    assert figures["recall"] == 0.25
    assert figures["recall_under_any_type"] == 0.5
    assert figures["precision_tampered"] == 0.5
    assert figures["recall_interval"] is None


def test_findings_in_untouched_clips_lower_precision_and_are_counted_by_the_hour():
    kinds = ["fades"] * 25 + ["cut"] * 75
    clips = [clip("frozen_run", 1, 2), *(clip("none", 0, 0, kind=kind) for kind in kinds)]
    examined = [seen(("frozen_run", 1, 2)), seen(("frozen_run", 5, 6)), *([seen()] * 99)]

    report = count(clips, examined)

    assert report["types"]["frozen_run"]["precision"] == 0.5
    assert report["types"]["frozen_run"]["precision_tampered"] == 1.0
    assert report["untouched"]["hours"] == 1.0
    assert report["untouched"]["findings_per_hour"] == 1.0
    assert report["untouched"]["by_type"] == {"frozen_run": 1}
    assert report["untouched"]["by_kind"] == {
        "cut": {"clips": 75, "hours": 0.75, "findings": 0, "findings_per_hour": 0.0},
        "fades": {"clips": 25, "hours": 0.25, "findings": 1, "findings_per_hour": 4.0},
    }


def test_a_splice_shows_as_a_jump_and_counts_as_right():
    report = count([clip("splice", 1, 1.4)], [seen(("deleted_frames", 1, 1.4))])

    assert report["types"]["splice"]["recall"] == 1.0
    assert report["types"]["deleted_frames"]["precision"] == 1.0


def test_clips_that_hardly_move_are_told_apart():
    clips = [clip("deleted_frames", 1, 1.4, group) for group in "ab"]

    figures = count(clips, [seen(("deleted_frames", 1, 1.4)), seen(step=0.5)])["types"]

    assert figures["deleted_frames"]["recall"] == 0.5
    assert figures["deleted_frames"]["recall_moving"] == 1.0
    assert figures["deleted_frames"]["recall_interval"] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.mp4,none\n", "needs lines"),
        ("file,label,start_s,end_s\na.mp4,melted,0,1\n", "melted"),
        ("file,label,start_s,end_s\na.mp4,frozen_run,soon,1\n", "Line 2"),
    ],
)
def test_a_wrong_manifest_is_told_with_its_line(tmp_path, text, message):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(text)

    with pytest.raises(SetupError, match=message):
        read_clips(manifest)
