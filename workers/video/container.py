"""Findings from times, sizes and groups of packets, checked against the pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.dense import Packets
from shared.records import Finding
from workers.video.motion import Motion
from workers.video.packets import (
    MIN_HIDDEN_S,
    Gap,
    find_gaps,
    find_group_changes,
    hidden_s,
    shown_times,
)

#: Span of a finding without extent, to each side, in seconds.
POINT_S = 0.2
#: Motion beside a gap below which pictures may have been left out because nothing moved.
MOVING = 2.0
_BESIDE = 6
_NEAR_CUT_S = 0.15


def findings(packets: Packets, motions: Sequence[Motion], cuts: Sequence[float]) -> list[Finding]:
    """Return what the packets tell: gaps, hidden pictures, other groups of pictures."""
    return [
        *(found for gap in find_gaps(packets) for m in motions if (found := _gap(gap, m))),
        *_hidden(packets),
        *_groups(packets, cuts),
    ]


def signals(packets: Packets) -> dict[str, float]:
    """Return measures of the packets."""
    intervals = np.diff(shown_times(packets))
    usual = float(np.median(intervals)) if intervals.size else 0.0
    varying = float((np.abs(intervals - usual) > 0.2 * usual).mean()) if intervals.size else 0.0
    return {
        "frame_interval_s": round(usual, 5),
        "varying_intervals": round(varying, 4),
        "key_packets": float(packets.key.sum()),
        "hidden_s": round(hidden_s(packets), 3),
    }


def _gap(gap: Gap, motion: Motion) -> Finding | None:
    """Judge a gap by the motion on both sides; None where nothing moves or nothing was seen."""
    at = int(np.searchsorted(motion.times_s, gap.end_s - 1e-3))
    if at < _BESIDE or at + _BESIDE >= len(motion):
        return None
    before = motion.steps[max(1, at - _BESIDE) : at]
    after = motion.steps[at + 1 : at + 1 + _BESIDE]
    usual = float(np.median(np.concatenate([before, after])))
    if min(float(np.median(before)), float(np.median(after))) < MOVING:
        return None
    goes_on = motion.steps[at] <= 2.0 * usual
    what = (
        "yet the motion goes on as if no time had passed: the times were moved"
        if goes_on
        else "and the picture moves on by more than one frame: frames are missing"
    )
    return Finding(
        type="pts_gap",
        start_s=gap.start_s,
        end_s=gap.end_s,
        detail=f"For {gap.end_s - gap.start_s:.2f} s there is no picture, {what}.",
        strength=0.7 if goes_on else 0.5,
        ruled_out=("variable_frame_rate", "static_scene", "screen_recording", "encoder_skip"),
    )


def _hidden(packets: Packets) -> list[Finding]:
    """Tell that pictures are in the file but not shown."""
    length_s = hidden_s(packets)
    if length_s < MIN_HIDDEN_S:
        return []
    times = packets.pts_s[packets.hidden]
    at = max(0.0, float(np.nanmin(times)))
    return [
        Finding(
            type="edit_list",
            start_s=at,
            end_s=at + 2 * POINT_S,
            detail=(
                f"The file holds {length_s:.1f} s of pictures that it tells players not to show; "
                "trimming on a phone does that too."
            ),
            strength=0.15,
            ruled_out=("codec_delay",),
        )
    ]


def _groups(packets: Packets, cuts: Sequence[float]) -> list[Finding]:
    """Tell that steady groups of pictures get another steady length, away from shot cuts."""
    found = []
    for change in find_group_changes(packets):
        if any(abs(change.at_s - cut) <= _NEAR_CUT_S for cut in cuts):
            continue
        also = ", and pictures are reordered on one side only" if change.reordering_too else ""
        found.append(
            Finding(
                type="gop_change",
                start_s=max(0.0, change.at_s - POINT_S),
                end_s=change.at_s + POINT_S,
                detail=(
                    f"Up to here one picture in {change.before} is stored whole, from here on "
                    f"one in {change.after}{also}: two streams may have been joined here."
                ),
                strength=0.5 if change.reordering_too else 0.3,
                ruled_out=("shot_cut", "variable_frame_rate"),
            )
        )
    return found
