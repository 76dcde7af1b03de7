"""Run both halves and the meta-learner over labelled audiovisual clips and report how they do."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import SetupError
from shared.halves import examine
from shared.media import DEFAULT_LIMITS
from shared.models import Registry
from shared.records import Analysis, Label, Media, PartialResult, Verdict
from workers import evaluation
from workers.aggregator import crossmodal, fusion
from workers.audio import pipeline as audio
from workers.video import pipeline as video

#: What may be manipulated in a clip; `mismatch` is genuine sound that is not the face's own.
KINDS = ("real", "voice", "picture", "both", "mismatch")
#: Verdicts that call a recording manipulated, and that call it authentic.
ACCUSING = (Label.SUSPICIOUS, Label.LIKELY_MANIPULATED)
#: Sampling as the fleet's default settings have it.
SAMPLE_EVERY, MAX_FRAMES = 30, 240
_NOW = datetime(2026, 1, 1, tzinfo=UTC)  # decisions do not depend on it


@dataclass(frozen=True)
class Clip:
    """One line of a manifest."""

    path: Path
    kind: str
    group: str
    columns: dict[str, str]

    @property
    def fake(self) -> bool:
        """Whether the recording as a whole is manipulated."""
        return self.kind != "real"


Halves = tuple[PartialResult, PartialResult]


def read_manifest(manifest: Path) -> list[Clip]:
    """Read a CSV file with `file`, `kind` (see `KINDS`), and `group` where clips are alike.

    Without `kind`, `label` (real or fake) stands in for it, and no kinds are compared.

    Raises:
        SetupError: The manifest cannot be read, lacks a column, or has an unknown kind.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f"The manifest {manifest} cannot be read: {error}.") from error
    if not lines or "file" not in lines[0] or not {"kind", "label"} & lines[0].keys():
        raise SetupError(f"The manifest {manifest} needs the columns file and kind (or label).")
    clips = []
    for number, line in enumerate(lines, start=2):
        kind = line.get("kind") or line.get("label") or ""
        if kind not in (*KINDS, "fake"):
            raise SetupError(
                f"Line {number} of {manifest}: the kind is {kind!r}; known are {', '.join(KINDS)}."
            )
        clips.append(
            Clip(
                path=manifest.parent / line["file"],
                kind=kind,
                group=line.get("group") or line["file"],
                columns={key: value or "" for key, value in line.items() if key},
            )
        )
    return clips


def evaluate_fusion(
    manifest: Path,
    *,
    models_dir: Path | None = None,
    prior: float = 0.5,
    processes: int | None = None,
) -> dict[str, Any]:
    """Score every clip of a manifest as the fleet would.

    Args:
        manifest: See `read_manifest`.
        models_dir: Directory of models; None for the packaged ones.
        prior: Probability of manipulation before looking.
        processes: Worker processes; None for one a core.

    Returns:
        Plain data: the figures of `report`, and the speed.

    Raises:
        SetupError: The manifest or the models are not usable.
    """
    clips = read_manifest(manifest)
    model = fusion.load(Registry(models_dir))
    started = time.perf_counter()
    halves = list(score((clip.path for clip in clips), models_dir, processes))
    wall_s = time.perf_counter() - started
    return {**report(clips, halves, model, prior), "wall_s": round(wall_s, 1)}


def score(
    paths: Iterable[Path], models_dir: Path | None = None, processes: int | None = None
) -> Iterable[Halves]:
    """Run both pipelines over files, in parallel; yields the halves in the order of the files."""
    spawn = get_context("spawn")  # ONNX Runtime's threads do not survive a fork
    with ProcessPoolExecutor(processes or cpu_count(), spawn) as pool:
        yield from pool.map(_score, ((path, models_dir) for path in paths))


@lru_cache(maxsize=1)
def _detectors(models_dir: Path | None) -> tuple[audio.AudioDetector, video.VideoDetector]:
    registry = Registry(models_dir, device="cpu", threads=1)
    return audio.load(registry), video.load(registry)


def _score(task: tuple[Path, Path | None]) -> Halves:
    path, models_dir = task
    hear, look = _detectors(models_dir)

    def analyze_audio(file: Path, media: Media) -> Analysis:
        return Analysis(audio.analyze(file, media, hear))

    def analyze_video(file: Path, media: Media) -> Analysis:
        return video.analyze(file, media, look, sample_every=SAMPLE_EVERY, max_frames=MAX_FRAMES)

    heard, _ = examine(path, "audio", analyze_audio, DEFAULT_LIMITS)
    seen, _ = examine(path, "video", analyze_video, DEFAULT_LIMITS)
    return heard.result, seen.result


def report(
    clips: Sequence[Clip], halves: Sequence[Halves], model: fusion.FusionModel, prior: float = 0.5
) -> dict[str, Any]:
    """Put the figures together from clips and their halves.

    Returns:
        `fused` (AUC, EER, Cllr, ECE with intervals by group), the same for each modality alone
        and for the mean and the maximum of both, the reliability table, the labels by kind, the
        manipulated part by kind, and how well the sound of swapped or shifted clips is told
        apart where a face speaks. Clips of kind `mismatch` count only in the last three.
    """
    verdicts = [fusion.decide(*pair, prior=prior, decided_at=_NOW, model=model) for pair in halves]
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
        if verdict.label in ACCUSING:
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
        [clip.group for clip, _ in kept],
        threshold=0.0,
    )
    return {**figures, "not_scored": len(clips) - len(kept)}


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
        if clip.columns.get("sync")
    ]
    kept = [(clip, found.mismatch) for clip, found in rows if found is not None]
    figures: dict[str, Any] = {"n": len(rows), "not_applicable": len(rows) - len(kept)}
    for way in ("swapped", "shifted"):
        chosen = [(clip, value) for clip, value in kept if clip.columns["sync"] in ("own", way)]
        values = np.array([value for _, value in chosen], dtype=np.float64)
        moved = np.array([clip.columns["sync"] == way for clip, _ in chosen], dtype=np.bool_)
        area = evaluation.bootstrap(
            evaluation.auc, values, moved, [clip.group for clip, _ in chosen]
        )
        figures[way] = {"n": len(chosen), "auc": area.value, "auc_ci": area.as_list()}
    return figures
