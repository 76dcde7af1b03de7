"""Whether the sequence of frames was tampered with: typed findings with times and ruled-out causes.

The packets of the whole recording are read, and pictures are looked at, small and grey: all of
them up to `MAX_PICTURES`, or all in some stretches of a long recording (`stretches.py`). Nothing
here is learned; the thresholds were set on development clips and measured on others, see the card
`video-consistency.md`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.decoder import DEFAULT_LIMITS, DecodeLimits
from shared.dense import GreyReader, Packets, read_packets
from shared.records import Finding, Media, Track
from workers.video import container, sequence
from workers.video.jumps import find_jumps, without_key_jumps
from workers.video.motion import SIDE_PX, Motion, measure
from workers.video.packets import scheduled_keys

#: Types of findings; a closed set.
TYPES = (
    "duplicated_run",
    "frozen_run",
    "deleted_frames",
    "inserted_segment",
    "reordered_run",
    "speed_change",
    "gop_change",
    "pts_gap",
    "edit_list",
)
#: Pictures that are looked at (5 min at 30/s).
MAX_PICTURES = 9_000
#: What pictures tell was measured at 15 a second and more; of sparser ones nothing is said, in
#: seconds.
MOST_APART_S = 0.07


class Seen(Protocol):
    """Every picture of a stretch, in order, with its time in seconds; see `OnePassReader`."""

    decode_errors: int

    @property
    def greys(self) -> Sequence[tuple[float, NDArray[np.uint8]]]:
        """Times and pictures of shape (height, width)."""


@dataclass(frozen=True)
class Consistency:
    """What the sequence of frames tells.

    Attributes:
        findings: In order of time, of the types in `TYPES`.
        signals: Plain measures: cuts, typical step, share of held frames and others.
        frames_seen: Pictures looked at.
        dropped: Pictures and packets not looked at, by reason.
    """

    findings: tuple[Finding, ...] = ()
    signals: dict[str, float] = field(default_factory=dict)
    frames_seen: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


def examine(
    path: Path,
    media: Media,
    track: Track,
    *,
    limits: DecodeLimits = DEFAULT_LIMITS,
    seen: Sequence[Seen] = (),
    packets: Packets | None = None,
) -> Consistency:
    """Examine the sequence of frames of one picture track.

    Args:
        path: The recording.
        media: What a probe found in it.
        track: The picture track.
        limits: What the decoder may use.
        seen: The pictures, stretch by stretch in order, where other passes have decoded them.
        packets: The track's, where they have been read already.

    Raises:
        Undecodable: The track has no packet or no picture.
        DecoderTimeout: The decoder did not finish in time.
    """
    packets = packets or read_packets(path, media, track, limits=limits)
    if seen:
        motions = [measure(one.greys) for one in seen if one.greys]
        return judge(packets, motions, decode_errors=sum(one.decode_errors for one in seen))
    reader = GreyReader(
        path, media, track, max_side_px=SIDE_PX, max_frames=MAX_PICTURES, limits=limits
    )
    motion = measure(iter(reader))
    return judge(packets, [motion], decode_errors=reader.decode_errors)


def judge(packets: Packets, motions: Sequence[Motion], *, decode_errors: int = 0) -> Consistency:
    """Find what the packets of one recording and the motion of its stretches tell."""
    keys_s = scheduled_keys(packets)
    jumps = [without_key_jumps(motion, find_jumps(motion), keys_s) for motion in motions]
    cuts: list[float] = []
    pictures: list[Finding] = []
    dropped = Counter[str]()
    for motion, found in zip(motions, jumps, strict=True):
        cuts += [float(motion.times_s[jump.at]) for jump in found if jump.cut]
        if _is_slow(motion):
            dropped["pictures_too_far_apart"] += len(motion)
        else:
            pictures += sequence.findings(motion, found)
    packet_findings = container.findings(packets, motions, cuts)
    frames_seen = sum(len(motion) for motion in motions)
    dropped["pictures_not_examined"] = max(0, int((~packets.hidden).sum()) - frames_seen)
    dropped["pictures_in_flashes"] = sum(motion.flashed for motion in motions)
    dropped["hidden_pictures"] = int(packets.hidden.sum())
    dropped["packets_not_read"] = int(packets.cut_short)
    dropped["decode_errors"] = decode_errors
    findings = sorted(pictures + packet_findings, key=lambda f: (f.start_s, f.end_s, f.type))
    return Consistency(
        findings=tuple(findings),
        signals=sequence.signals(motions, jumps) | container.signals(packets),
        frames_seen=frames_seen,
        dropped={reason: count for reason, count in dropped.items() if count},
    )


def _is_slow(motion: Motion) -> bool:
    """Tell whether pictures are so far apart that still ones and jumps are nothing unusual."""
    return len(motion) > 1 and float(np.median(np.diff(motion.times_s))) > MOST_APART_S
