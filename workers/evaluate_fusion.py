"""Run both halves and the meta-learner over labelled audiovisual clips and report how they do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import SetupError, WorkerLost
from shared.halves import Analyze, examine
from shared.models import Registry
from shared.records import (
    Label,
    Modality,
    Outcome,
    PartialResult,
    Verdict,
)
from shared.settings import Settings
from workers import evaluation, many
from workers import manifest as manifests
from workers.aggregator import crossmodal, fusion
from workers.audio import pipeline as audio
from workers.audio.bound import bind as bind_audio
from workers.video import pipeline as video
from workers.video.bound import bind as bind_video

#: What may be manipulated in a clip; `mismatch` is genuine sound that is not the face's own.
KINDS = ("real", "voice", "picture", "both", "mismatch")
#: Labels of sound alone, and what they are here.
_OF_SOUND = {"bonafide": "real", "spoof": "fake"}
_NOW = datetime(2026, 1, 1, tzinfo=UTC)  # decisions do not depend on it


@dataclass(frozen=True)
class Clip:
    """One line of a manifest, and what is manipulated in it."""

    line: manifests.Line
    kind: str

    @property
    def fake(self) -> bool:
        """Whether the recording as a whole is manipulated."""
        return self.kind != "real"


Halves = tuple[PartialResult, PartialResult]


def read_manifest(manifest: Path) -> list[Clip]:
    """Read a manifest with the column `kind` (see `KINDS`).

    Where it is empty or missing, `label` (real or fake, or as `evaluate audio` has it) stands in
    for it, and no kinds are compared.

    Raises:
        SetupError: The manifest cannot be read, lacks a column, or has an unknown kind.
    """
    clips = []
    for line in manifests.read(manifest, "kind|label"):
        said = line.columns.get("kind") or line.columns.get("label") or ""
        kind = _OF_SOUND.get(said, said)
        if kind not in (*KINDS, "fake"):
            known = ", ".join((*KINDS, "fake", *_OF_SOUND))
            raise SetupError(
                f"Line {line.number} of {manifest}: its kind or label is {said!r}; "
                f"known are {known}."
            )
        clips.append(Clip(line, kind))
    return clips


def evaluate_fusion(
    manifest: Path,
    settings: Settings,
    *,
    processes: int | None = None,
    scores: Path | None = None,
    told: many.Told = many.silent,
) -> dict[str, Any]:
    """Score every clip of a manifest as the fleet would.

    Args:
        manifest: See `read_manifest`.
        settings: The models, which frames are looked at, what the decoder may use, and the prior.
        processes: Worker processes; None for one a core.
        scores: Where to write the verdict on each clip, as CSV.
        told: Is told how many clips are done; see `many.Told`.

    Returns:
        Plain data: the figures of `report`, and the speed.

    Raises:
        SetupError: The manifest or the models are not usable, or the scores cannot be written.
    """
    clips = read_manifest(manifest)
    manifests.check(manifest, [clip.line.path for clip in clips], scores)
    model = fusion.load(Registry(settings.models_dir))
    started = time.perf_counter()
    paths = [clip.line.path for clip in clips]
    halves = many.each(partial(_score, settings), paths, _lost, processes, told=told)
    wall_s = time.perf_counter() - started
    verdicts = decide(halves, model, settings.prior)
    if scores is not None:
        _write(scores, clips, halves, verdicts)
    return {**report(clips, halves, verdicts), "wall_s": round(wall_s, 1)}


def decide(
    halves: Sequence[Halves], model: fusion.FusionModel, prior: float = 0.5
) -> list[Verdict]:
    """Return the verdict on each pair of halves."""
    return [fusion.decide(*pair, prior=prior, decided_at=_NOW, model=model) for pair in halves]


def _write(
    scores: Path, clips: Sequence[Clip], halves: Sequence[Halves], verdicts: Sequence[Verdict]
) -> None:
    """Write one line a clip: what it was said to be, the verdict, and what both halves say."""
    rows = (
        (
            *(clip.line.file, clip.kind, clip.line.group, verdict.label, verdict.llr),
            *(value for half in pair for value in (half.llr, half.reason)),
        )
        for clip, pair, verdict in zip(clips, halves, verdicts, strict=True)
    )
    halved = ("audio_llr", "audio_reason", "video_llr", "video_reason")
    manifests.write(scores, ("file", "kind", "group", "label", "llr", *halved), rows)


@lru_cache(maxsize=1)
def _detectors(settings: Settings) -> tuple[audio.AudioDetector, video.VideoDetector]:
    registry = Registry(settings.models_dir, device="cpu", threads=1)
    return audio.load(registry), video.load(registry)


def _score(settings: Settings, path: Path) -> Halves:
    hear, look = _detectors(settings)
    heard = _half(path, "audio", bind_audio(settings, hear, draws_sound=False), settings)
    return heard, _half(path, "video", bind_video(settings, look), settings)


def _half(path: Path, modality: Modality, analyze: Analyze, settings: Settings) -> PartialResult:
    """Return one half of a clip; one that fails says why."""
    try:
        return examine(path, modality, analyze, settings)[0].result
    except many.FAULTS as error:
        return _failed(modality, many.reason(error))


def _lost(_: Path) -> Halves:
    return _failed("audio", WorkerLost.code), _failed("video", WorkerLost.code)


def _failed(modality: Modality, reason: str) -> PartialResult:
    return PartialResult(modality=modality, outcome=Outcome.FAILED, reason=reason)


def report(
    clips: Sequence[Clip], halves: Sequence[Halves], verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    """Put the figures together from clips, their halves and the verdicts on them.

    Returns:
        `fused` (AUC, EER, Cllr, ECE with intervals by group), the same for each modality alone
        and for the mean and the maximum of both, the reliability table, the labels by kind, the
        manipulated part by kind, how well the sound of swapped or shifted clips is told apart
        where a face speaks, and why halves have no score. Clips of kind `mismatch` count only in
        labels, parts and the last two.
    """
    llrs = {
        "fused": [verdict.llr for verdict in verdicts],
        "audio": [heard.llr for heard, _ in halves],
        "video": [seen.llr for _, seen in halves],
        "mean": [_over(pair, lambda llrs: sum(llrs) / len(llrs)) for pair in halves],
        "max": [_over(pair, max) for pair in halves],
    }
    own = [index for index, clip in enumerate(clips) if clip.kind != "mismatch"]
    both = [index for index in own if all(half.llr is not None for half in halves[index])]
    return {
        "n": len(clips),
        "methods": {
            name: _figures([clips[i] for i in own], [values[i] for i in own])
            for name, values in llrs.items()
        },
        "methods_where_both_halves_are_scored": {
            name: _figures([clips[i] for i in both], [values[i] for i in both])
            for name, values in llrs.items()
        },
        "reliability": reliability([clips[i] for i in own], [llrs["fused"][i] for i in own]),
        "labels": _cross(clips, [str(verdict.label) for verdict in verdicts]),
        "parts": _cross(clips, [_part(verdict) for verdict in verdicts]),
        "whole": whole([clips[i] for i in own], [verdicts[i] for i in own]),
        "sync": _sync(clips, halves),
        "abstained": _abstentions(halves),
    }


def reliability(clips: Sequence[Clip], llrs: Sequence[float | None]) -> list[dict[str, float]]:
    """Return, for each tenth of probability, the mean prediction and the share of fakes.

    Both classes get the same total weight, as in `evaluation.ece`.
    """
    kept = [(llr, clip.fake) for llr, clip in zip(llrs, clips, strict=True) if llr is not None]
    if len({fake for _, fake in kept}) < 2:  # noqa: PLR2004  # both classes
        return []
    fake = np.array([truth for _, truth in kept])
    predicted = evaluation.probability(np.array([llr for llr, _ in kept]))
    weight = np.where(fake, 0.5 / fake.sum(), 0.5 / (~fake).sum())
    bins = np.minimum((predicted * evaluation.ECE_BINS).astype(int), evaluation.ECE_BINS - 1)
    rows = []
    for index in np.unique(bins):
        inside = bins == index
        share = weight[inside] / weight[inside].sum()
        rows.append(
            {
                "from": round(index / evaluation.ECE_BINS, 2),
                "n": int(inside.sum()),
                "predicted": round(float(share @ predicted[inside]), 4),
                "observed": round(float(share @ fake[inside]), 4),
            }
        )
    return rows


def whole(clips: Sequence[Clip], verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Count how often the label of the whole is right, wrong, or withheld."""
    counts: Counter[str] = Counter(right=0, wrong=0, withheld=0, real_called_likely_manipulated=0)
    for clip, verdict in zip(clips, verdicts, strict=True):
        if verdict.label.accuses:
            counts["right" if clip.fake else "wrong"] += 1
        elif verdict.label is Label.LIKELY_AUTHENTIC:
            counts["wrong" if clip.fake else "right"] += 1
        else:
            counts["withheld"] += 1
        if not clip.fake and verdict.label is Label.LIKELY_MANIPULATED:
            counts["real_called_likely_manipulated"] += 1
    return dict(counts)


def _figures(clips: Sequence[Clip], llrs: Sequence[float | None]) -> dict[str, Any]:
    kept = [(clip, llr) for clip, llr in zip(clips, llrs, strict=True) if llr is not None]
    figures = evaluation.summarise(
        np.array([llr for _, llr in kept], dtype=np.float64),
        np.array([clip.fake for clip, _ in kept], dtype=np.bool_),
        [clip.line.group for clip, _ in kept],
        threshold=0.0,
    )
    return {**figures, "not_scored": len(clips) - len(kept)}


def _abstentions(halves: Sequence[Halves]) -> dict[str, dict[str, int]]:
    """Count, for each modality, why halves have no score."""
    reasons: dict[str, Counter[str]] = {"audio": Counter(), "video": Counter()}
    for half in (half for pair in halves for half in pair):
        if half.llr is None:
            reasons[half.modality][half.reason or "unknown"] += 1
    return {modality: dict(counts) for modality, counts in reasons.items()}


def _over(pair: Halves, combine: Any) -> float | None:
    llrs = [half.llr for half in pair if half.llr is not None]
    return combine(llrs) if llrs else None


def _part(verdict: Verdict) -> str:
    return verdict.manipulated_part or "none"


def _cross(clips: Sequence[Clip], values: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count values by the kind of clip."""
    table: dict[str, Counter[str]] = {}
    for clip, value in zip(clips, values, strict=True):
        table.setdefault(clip.kind, Counter())[value] += 1
    return {kind: dict(counts.most_common()) for kind, counts in table.items()}


def _sync(clips: Sequence[Clip], halves: Sequence[Halves]) -> dict[str, Any]:
    """Tell untouched clips from swapped and shifted ones (column `sync`: own, swapped, shifted)."""
    rows = [
        (clip, crossmodal.compare(*pair))
        for clip, pair in zip(clips, halves, strict=True)
        if clip.line.columns.get("sync")
    ]
    kept = [(clip, found.mismatch) for clip, found in rows if found is not None]
    figures: dict[str, Any] = {"n": len(rows), "not_applicable": len(rows) - len(kept)}
    for way in ("swapped", "shifted"):
        chosen = [
            (clip, value) for clip, value in kept if clip.line.columns["sync"] in ("own", way)
        ]
        values = np.array([value for _, value in chosen], dtype=np.float64)
        moved = np.array([clip.line.columns["sync"] == way for clip, _ in chosen], dtype=np.bool_)
        area = evaluation.bootstrap(
            evaluation.auc, values, moved, [clip.line.group for clip, _ in chosen]
        )
        figures[way] = {"n": len(chosen), "auc": area.value, "auc_ci": area.as_list()}
    return figures
