"""Findings from the pictures: which frames stand still, come twice, are missing or out of place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.records import Finding
from workers.video.jumps import ALONE, LONELY, Jump, held, without_seams
from workers.video.motion import Motion
from workers.video.order import Stretch, insertions, reorderings
from workers.video.repeats import Run, frozen_runs, repeated_runs
from workers.video.rhythm import speed_changes

#: Span of a finding without extent, to each side, in seconds.
POINT_S = 0.2
#: Frames around the ends of a finding in which it explains a jump.
_EXPLAINED = 3
#: Seconds around a jump that tell whether the motion itself is jerky: with more joins than this
#: none is one, and with any other jump its own log odds have to be higher.
_CROWD, _CROWD_S = 3, 2.0
#: A jump of fewer of the usual steps is no finding: one frame is missing, and cameras, encoders and
#: calls leave out single frames all the time. All four jumps in the slower half of a genuine split
#: screen were as short; of the joints found in tampered clips, three were (see the card).
_LEAST_FRAMES = 2.5


def findings(motion: Motion, jumps: list[Jump]) -> list[Finding]:
    """Return what the pictures tell; what one finding explains is not told again by another."""
    frozen = frozen_runs(motion, (jump.at for jump in jumps if jump.firm))
    repeated, loops = repeated_runs(motion)
    jumps = without_seams(motion, jumps, loops)
    copies = _outside(repeated, frozen)
    taken = [(run.start, run.stop) for run in (*frozen, *copies)]
    kept: list[Stretch] = []
    for find in (reorderings, insertions, speed_changes):
        new = [stretch for stretch in find(motion, jumps) if not _clash(stretch, taken)]
        taken += [(stretch.start, stretch.stop) for stretch in new]
        kept += new
    open_jumps = [jump for jump in jumps if not jump.cut and not _explained(jump, taken)]
    joins = [
        jump
        for jump in open_jumps
        if jump.frames >= _LEAST_FRAMES
        and jump.likely >= (LONELY if _near(motion, jump, open_jumps) == 1 else ALONE)
    ]
    return [
        *(_frozen(motion, run) for run in frozen),
        *(_copy(motion, run) for run in copies),
        *(_stretch(motion, stretch) for stretch in kept),
        *(_join(motion, jump) for jump in joins if _near(motion, jump, joins) <= _CROWD),
    ]


def signals(motions: Sequence[Motion], jumps: Sequence[list[Jump]]) -> dict[str, float]:
    """Return measures of the motion in all stretches; nothing where there is no picture."""
    if not motions:
        return {}
    return {
        "shot_cuts": float(sum(jump.cut for found in jumps for jump in found)),
        "typical_step": round(float(np.median(np.concatenate([m.steps for m in motions]))), 3),
        "held_frames": round(float(np.concatenate([held(m) for m in motions]).mean()), 4),
    }


def _outside(runs: list[Run], others: list[Run]) -> list[Run]:
    spans = [(other.start, other.stop) for other in others]
    return [run for run in runs if not any(_overlap((run.start, run.stop), s) for s in spans)]


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return shared > 0.3 * min(one[1] - one[0], other[1] - other[0])


def _clash(stretch: Stretch, taken: list[tuple[int, int]]) -> bool:
    """Tell whether a stretch overlaps an earlier one, or begins or ends where one does."""
    ends = [end for span in taken for end in span]
    return any(_overlap((stretch.start, stretch.stop), span) for span in taken) or any(
        abs(mine - end) <= _EXPLAINED for mine in (stretch.start, stretch.stop) for end in ends
    )


def _explained(jump: Jump, taken: list[tuple[int, int]]) -> bool:
    """Tell whether a jump lies in a stretch that was found, or at one of its ends."""
    return any(start - _EXPLAINED <= jump.at <= stop + _EXPLAINED for start, stop in taken)


def _near(motion: Motion, jump: Jump, jumps: list[Jump]) -> int:
    """Count the jumps near one, itself among them."""
    at_s = motion.times_s[jump.at]
    return sum(bool(abs(motion.times_s[other.at] - at_s) <= _CROWD_S) for other in jumps)


def _times(motion: Motion, start: int, stop: int) -> tuple[float, float]:
    """Return the times from the first frame to the end of the last."""
    times = motion.times_s
    end = times[stop] if stop < len(motion) else times[-1]
    return float(times[start]), float(end)


def _frozen(motion: Motion, run: Run) -> Finding:
    start_s, end_s = _times(motion, run.start, run.stop)
    return Finding(
        type="frozen_run",
        start_s=start_s,
        end_s=end_s,
        detail=(
            f"{run.stop - run.start} frames stand still though the shot moves right before and "
            "right after; a bad connection does that too."
        ),
        strength=_bounded(0.3 + 0.6 * run.contrast),
        ruled_out=("static_scene", "shot_cut", "variable_frame_rate", "encoder_skip", "fade"),
    )


def _copy(motion: Motion, run: Run) -> Finding:
    start_s, end_s = _times(motion, run.start, run.stop)
    lag_s = start_s - float(motion.times_s[run.start - run.lag])
    return Finding(
        type="duplicated_run",
        start_s=start_s,
        end_s=end_s,
        detail=f"{run.stop - run.start} frames repeat those of {lag_s:.1f} s before, one by one.",
        strength=_bounded(0.5 + 0.5 * run.contrast),
        ruled_out=("static_scene", "encoder_skip", "pull_down", "fade", "looping_part"),
    )


def _stretch(motion: Motion, stretch: Stretch) -> Finding:
    start_s, end_s = _times(motion, stretch.start, stretch.stop)
    other = "pull_down" if stretch.type == "speed_change" else "shot_cut"
    return Finding(
        type=stretch.type,
        start_s=start_s,
        end_s=end_s,
        detail=stretch.detail,
        strength=_bounded(stretch.strength),
        ruled_out=(other, "static_scene", "variable_frame_rate", "encoder_skip"),
    )


def _join(motion: Motion, jump: Jump) -> Finding:
    """Tell of a jump inside a shot: frames are missing, or two takes were joined."""
    at_s = float(motion.times_s[jump.at])
    return Finding(
        type="deleted_frames",
        start_s=max(0.0, at_s - POINT_S),
        end_s=min(at_s + POINT_S, float(motion.times_s[-1])),
        detail=(
            "Within one shot the picture moves in one step as far as otherwise in about "
            f"{jump.frames:.0f} frames: frames may be missing, or two takes may be joined, as in a "
            "jump cut."
        ),
        strength=_bounded(0.2 + 0.08 * jump.likely),
        ruled_out=("shot_cut", "variable_frame_rate", "encoder_skip", "static_scene", "fade"),
    )


def _bounded(value: float) -> float:
    return round(min(1.0, max(0.05, value)), 3)
