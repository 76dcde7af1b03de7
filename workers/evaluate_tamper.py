"""Examine the frames of tampered and untouched clips and count right and wrong findings."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shared.decoder import DecodeLimits
from shared.errors import NoVideoTrack, SetupError, WorkerLost
from shared.halves import decode_limits
from shared.probing import probe
from shared.records import Finding
from shared.settings import Settings
from workers import manifest as manifests
from workers import many
from workers.video.consistency import TYPES, examine

#: Labels of a manifest that are no types of findings, and the types that tell of them: a splice of
#: two takes of a shot shows as a jump; a second compression is not looked for.
OTHERS: dict[str, tuple[str, ...]] = {"splice": ("deleted_frames",), "double_compression": ()}
#: All labels of tampered clips.
LABELS = (*TYPES, *OTHERS)
#: Label of clips that were not tampered with.
UNTOUCHED = "none"
#: Overlap of a finding with the truth from which on it counts, intersection over union.
MIN_OVERLAP = 0.5
#: Typical step from one frame to the next from which on a clip is moving, in grey levels.
MOVING_STEP = 3.0
#: Resamples of whole groups behind an interval.
BOOTSTRAPS = 500


@dataclass(frozen=True)
class Clip:
    """One line of a manifest."""

    path: Path
    label: str
    start_s: float
    end_s: float
    group: str
    kind: str


@dataclass(frozen=True)
class Examined:
    """What was found in one clip; `error` is a reason code where it could not be examined."""

    findings: tuple[Finding, ...] = ()
    seen_s: float = 0.0
    typical_step: float = 0.0
    error: str | None = None


def read_clips(manifest: Path) -> list[Clip]:
    """Read a manifest with the columns label, start_s and end_s, and perhaps group and kind.

    The label is a type of finding, or `none`.

    Raises:
        SetupError: The manifest cannot be read, lacks a column, or has an unknown label.
    """
    lines = manifests.read(manifest, "label", "start_s", "end_s")
    return [_clip(manifest, line) for line in lines]


def _clip(manifest: Path, line: manifests.Line) -> Clip:
    where, columns = f"Line {line.number} of {manifest}", line.columns
    if columns["label"] not in (UNTOUCHED, *LABELS):
        known = ", ".join((UNTOUCHED, *LABELS))
        raise SetupError(f"{where}: the label is {columns['label']!r}; known are {known}.")
    try:
        start_s, end_s = float(columns["start_s"] or 0), float(columns["end_s"] or 0)
    except ValueError as error:
        raise SetupError(f"{where}: {error}.") from error
    return Clip(
        path=line.path,
        label=columns["label"],
        start_s=start_s,
        end_s=end_s,
        group=line.group,
        kind=columns.get("kind", ""),
    )


def evaluate_tamper(
    manifest: Path,
    settings: Settings,
    *,
    processes: int | None = None,
    told: many.Told = many.silent,
) -> dict[str, Any]:
    """Examine every clip of a manifest and compare what is found with the truth.

    Args:
        manifest: CSV as `scripts/tamper.py` writes it.
        settings: What the decoder may use.
        processes: Worker processes; None for one a core.
        told: Is told how many clips are done; see `many.Told`.

    Returns:
        Plain data: by type the number of clips, recall with its 95 % interval over groups, recall
        in moving clips and under any type, precision among the findings in tampered clips and in
        all clips; for untouched clips their hours and the findings in them, in all and by kind.

    Raises:
        SetupError: The manifest is not usable.
    """
    clips = read_clips(manifest)
    paths = [clip.path for clip in clips]
    manifests.check(manifest, paths)
    started = time.perf_counter()
    look = partial(_examine, decode_limits(settings))
    lost = Examined(error=WorkerLost.code)
    examined = many.each(look, paths, lambda _: lost, processes, told=told)
    report = count(clips, examined)
    report["seconds"] = round(time.perf_counter() - started, 1)
    return report


def _examine(limits: DecodeLimits, path: Path) -> Examined:
    """Examine the first picture track of one clip."""
    try:
        media = probe(path, limits)
        tracks = media.of_kind("video")
        if not tracks:
            raise NoVideoTrack
        found = examine(path, media, tracks[0], limits=limits)
    except many.FAULTS as error:
        return Examined(error=many.reason(error))
    interval_s = found.signals["frame_interval_s"]
    seen_s = found.frames_seen * interval_s  # no more than was looked at
    seen_s = min(seen_s, media.duration_s or seen_s)
    return Examined(found.findings, seen_s, found.signals["typical_step"])


def count(clips: Sequence[Clip], examined: Sequence[Examined]) -> dict[str, Any]:
    """Count hits, misses and false findings."""
    pairs = list(zip(clips, examined, strict=True))
    good = [(clip, seen) for clip, seen in pairs if seen.error is None]
    tampered = [(clip, seen) for clip, seen in good if clip.label != UNTOUCHED]
    untouched = [(clip, seen) for clip, seen in good if clip.label == UNTOUCHED]
    return {
        "clips": len(clips),
        "tampered": len(tampered),
        "groups": len({clip.group for clip, _ in good}),
        "not_examined": dict(Counter(seen.error for _, seen in pairs if seen.error)),
        "min_overlap": MIN_OVERLAP,
        "types": {label: _of_type(label, tampered, untouched) for label in LABELS},
        "untouched": _false_findings(untouched),
    }


Pairs = list[tuple[Clip, Examined]]


def _of_type(label: str, tampered: Pairs, untouched: Pairs) -> dict[str, Any]:
    """Return the figures of one type."""
    own = [(clip, seen) for clip, seen in tampered if clip.label == label]
    told = OTHERS.get(label, (label,))
    hits = np.asarray([_hit(clip, seen, told) for clip, seen in own], dtype=bool)
    moving = np.asarray([seen.typical_step >= MOVING_STEP for _, seen in own], dtype=bool)
    named = [_hit(clip, seen, TYPES) for clip, seen in own]
    right = [
        _right(clip, found)
        for clip, seen in tampered
        for found in seen.findings
        if found.type == label
    ]
    beside = sum(found.type == label for _, seen in untouched for found in seen.findings)
    kinds = sorted({clip.kind for clip, _ in own})
    by_kind = {
        kind: [
            int(sum(hit for hit, (clip, _) in zip(hits, own, strict=True) if clip.kind == kind)),
            sum(clip.kind == kind for clip, _ in own),
        ]
        for kind in kinds
    }
    return {
        "clips": len(own),
        "recall": _share(int(hits.sum()), len(own)),
        "recall_interval": _interval(hits, [clip.group for clip, _ in own]),
        "recall_moving": _share(int(hits[moving].sum()), int(moving.sum())),
        "moving": int(moving.sum()),
        "recall_under_any_type": _share(sum(named), len(own)),
        "precision_tampered": _share(sum(right), len(right)),
        "precision": _share(sum(right), len(right) + beside),
        "findings": len(right) + beside,
        "hits_by_kind": by_kind if len(by_kind) <= len(TYPES) else {},
    }


def _false_findings(untouched: Pairs) -> dict[str, Any]:
    """Return the findings in clips that were not tampered with, in all and by kind of clip."""
    kinds = sorted({clip.kind for clip, _ in untouched})
    return {
        **_by_the_hour(untouched),
        "by_type": dict(Counter(found.type for _, seen in untouched for found in seen.findings)),
        "by_kind": {
            kind: _by_the_hour([pair for pair in untouched if pair[0].kind == kind])
            for kind in kinds
        },
        "clips_with_findings": sorted(clip.path.name for clip, seen in untouched if seen.findings),
    }


def _by_the_hour(untouched: Pairs) -> dict[str, Any]:
    """Return how many clips there are, how long they are, and how much was found in them."""
    hours = sum(seen.seen_s for _, seen in untouched) / 3600
    findings = sum(len(seen.findings) for _, seen in untouched)
    return {
        "clips": len(untouched),
        "hours": round(hours, 3),
        "findings": findings,
        "findings_per_hour": round(findings / hours, 2) if hours else None,
    }


def overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the intersection of two spans over their union; 0 where they do not meet."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    union = max(one[1], other[1]) - min(one[0], other[0])
    return max(0.0, shared) / union if union > 0 else 0.0


def _hit(clip: Clip, seen: Examined, types: Sequence[str]) -> bool:
    """Tell whether a finding of the right type lies where the tampering is."""
    return any(found.type in types and _overlaps(clip, found) for found in seen.findings)


def _right(clip: Clip, found: Finding) -> bool:
    """Tell whether a finding in a tampered clip tells of its tampering."""
    return found.type in OTHERS.get(clip.label, (clip.label,)) and _overlaps(clip, found)


def _overlaps(clip: Clip, found: Finding) -> bool:
    spans = (found.start_s, found.end_s), (clip.start_s, clip.end_s)
    return overlap(*spans) >= MIN_OVERLAP


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def _interval(hits: np.ndarray, groups: Sequence[str]) -> list[float] | None:
    """Return the 95 % interval of a share over resampled groups; None with a single group."""
    names = sorted(set(groups))
    if len(names) <= 1:
        return None
    members = [hits[[group == name for group in groups]] for name in names]
    rng = np.random.default_rng(0)
    shares = [
        float(
            np.concatenate([members[at] for at in rng.integers(0, len(names), len(names))]).mean()
        )
        for _ in range(BOOTSTRAPS)
    ]
    low, high = np.percentile(shares, [2.5, 97.5])
    return [round(float(low), 3), round(float(high), 3)]
