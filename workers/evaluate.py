"""Run a detector over somebody's manifest and report how well it does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from shared.clips import TOGETHER, Clip, decode, sound_alone
from shared.errors import SetupError, UndecodableAudio, WorkerLost
from shared.halves import decode_limits
from shared.models import Registry
from shared.probing import probe
from shared.records import Outcome, PartialResult
from shared.settings import Settings
from workers import evaluation, many
from workers import manifest as manifests
from workers.audio import pipeline as audio
from workers.audio.pooling import Calibration
from workers.video import pipeline as video
from workers.video.bound import bind

#: Labels of a manifest and whether they mean manipulated.
LABELS = {"bonafide": False, "real": False, "spoof": True, "fake": True}
#: Columns reported apart when they are there and none are asked for.
DEFAULT_COLUMNS = ("language",)
#: The same for pictures; fakes of each value are set against all untouched clips.
VIDEO_COLUMNS = ("manipulation", "generator")
#: Values of a column that are reported apart: the most frequent ones; others are counted.
MAX_VALUES = 100


@dataclass(frozen=True)
class Row:
    """One line of a manifest, and its label as truth."""

    line: manifests.Line
    fake: bool


@dataclass(frozen=True)
class Scored:
    """What a detector said about one file; no score where it declined, with the reason."""

    llr: float | None
    reason: str | None
    media_s: float
    out_of_distribution: float = 0.0


_LOST = Scored(None, WorkerLost.code, 0.0)


def read_manifest(manifest: Path) -> list[Row]:
    """Read a manifest with the column `label`; see `LABELS`.

    Raises:
        SetupError: The manifest cannot be read, lacks a column, has an unknown label, or says both
            of one file.
    """
    rows: list[Row] = []
    said: dict[Path, Row] = {}
    for line in manifests.read(manifest, "label"):
        label = line.columns["label"]
        if label not in LABELS:
            raise SetupError(
                f"Line {line.number} of {manifest}: the label is {label!r}; "
                f"known are {', '.join(LABELS)}."
            )
        row = Row(line, LABELS[label])
        before = said.setdefault(line.path, row)
        if before.fake != row.fake:
            raise SetupError(
                f"Lines {before.line.number} and {line.number} of {manifest} contradict each "
                f"other: {line.file} is {before.line.columns['label']}, and {label}."
            )
        rows.append(row)
    return rows


def evaluate_audio(
    manifest: Path,
    settings: Settings,
    *,
    columns: Sequence[str] = (),
    processes: int | None = None,
    scores: Path | None = None,
    told: many.Told = many.silent,
) -> dict[str, Any]:
    """Score every file of a manifest with the voice detector.

    Args:
        manifest: CSV with `file`, `label` (bonafide or spoof), `group` and any other columns.
        settings: The models, and what the decoder may use.
        columns: Columns whose values are reported apart.
        processes: Worker processes; None for one a core.
        scores: Where to write the score of each file, as CSV.
        told: Is told how many files are done; see `many.Told`.

    Returns:
        Plain data: the figures of `evaluation.summarise`, what was not scored and why, the same
        by group and by column, and the speed.

    Raises:
        SetupError: The manifest or the models are not usable, or the scores cannot be written.
    """
    rows = read_manifest(manifest)
    manifests.check(manifest, [row.line.path for row in rows], scores)
    registry = Registry(settings.models_dir)
    threshold = Calibration.from_params(registry.entry(audio.MODEL).params).threshold
    started = time.perf_counter()
    paths = [row.line.path for row in rows]
    parts = [paths[first : first + TOGETHER] for first in range(0, len(paths), TOGETHER)]

    def told_files(done: int, _: int) -> None:
        told(min(done * TOGETHER, len(paths)), len(paths))

    score = partial(_score_audio, settings)

    def lost(part: Sequence[Path]) -> list[Scored]:
        if len(part) == 1:
            return [_LOST]
        return [one for path in part for one in many.each(score, [[path]], lost, 1)[0]]

    found = many.each(score, parts, lost, processes, told=told_files)
    scored = [one for part in found for one in part]
    wall_s = time.perf_counter() - started
    _write(scores, rows, scored)
    return report(rows, scored, threshold, columns, wall_s)


def _write(scores: Path | None, rows: Sequence[Row], scored: Sequence[Scored]) -> None:
    """Write one line a file: what it was said to be, what was found, and why nothing was."""
    if scores is None:
        return
    pairs = zip(rows, scored, strict=True)
    manifests.write(
        scores,
        ("file", "label", "group", "llr", "reason"),
        (
            (row.line.file, row.line.columns["label"], row.line.group, item.llr, item.reason)
            for row, item in pairs
        ),
    )


@lru_cache(maxsize=1)
def _audio_detector(settings: Settings) -> audio.AudioDetector:
    return audio.load(Registry(settings.models_dir, device="cpu", threads=1))


def _hear(settings: Settings, path: Path, clip: Clip | None) -> PartialResult:
    """Score one recording; plain sound files are decoded without a probe, which costs as much."""
    limits = decode_limits(settings)
    hear = partial(
        audio.analyze, path, detector=_audio_detector(settings), limits=limits, stability=False
    )
    media = clip.media if clip else sound_alone(path)
    if media:
        try:
            return hear(media, decoded=clip)
        except UndecodableAudio:
            pass  # the sound is not the first track, or the probe has the better reason
    return hear(probe(path, limits))


def _score_audio(settings: Settings, paths: Sequence[Path]) -> list[Scored]:
    clips = decode(paths, decode_limits(settings))
    return [_said(partial(_hear, settings, path, clips.get(path))) for path in paths]


def _said(analyze: Callable[[], PartialResult]) -> Scored:
    """Return what is kept of an analysis, or why there is none."""
    try:
        half = analyze()
    except many.FAULTS as error:
        return Scored(None, many.reason(error), 0.0)
    return Scored(
        half.llr,
        None if half.outcome is Outcome.SCORED else half.reason,
        half.coverage.analysed_s,
        half.signals.get("out_of_distribution", 0.0),
    )


def report(
    rows: Sequence[Row],
    scored: Sequence[Scored],
    threshold: float,
    columns: Sequence[str],
    wall_s: float,
    *,
    against_real: bool = False,
) -> dict[str, Any]:
    """Put the figures together: for all, by group, and by every named column.

    `left_out` tells how many values of each were too many to report.
    """
    media_s = sum(item.media_s for item in scored)
    defaults = VIDEO_COLUMNS if against_real else DEFAULT_COLUMNS
    names = [name for name in columns or defaults if name in rows[0].line.columns]
    by = {
        name: _apart(rows, scored, threshold, partial(_cell, name), against_real) for name in names
    }
    groups = _apart(rows, scored, threshold, lambda row: row.line.group)
    left_out = {name: count for name, (_, count) in {**by, "group": groups}.items() if count}
    return {
        **_figures(rows, scored, threshold),
        "abstained": dict(Counter(item.reason for item in scored if item.reason)),
        "by_group": groups[0],
        "by": {name: figures for name, (figures, _) in by.items()},
        "left_out": left_out,
        "no_such_column": [name for name in columns if name not in names],
        "media_s": round(media_s, 1),
        "wall_s": round(wall_s, 1),
        "real_time_factor": round(media_s / wall_s, 1) if wall_s else None,
    }


def _cell(column: str, row: Row) -> str:
    return row.line.columns.get(column, "")


def _figures(rows: Sequence[Row], scored: Sequence[Scored], threshold: float) -> dict[str, Any]:
    kept = [(row, item) for row, item in zip(rows, scored, strict=True) if item.llr is not None]
    llr = np.array([item.llr for _, item in kept], dtype=np.float64)
    fake = np.array([row.fake for row, _ in kept], dtype=np.bool_)
    groups = [row.line.group for row, _ in kept]
    unfamiliar = [item.out_of_distribution >= 1 for _, item in kept]
    return {
        **evaluation.summarise(llr, fake, groups, threshold),
        "not_scored": len(rows) - len(kept),
        "unfamiliar": int(sum(unfamiliar)),
    }


def _apart(
    rows: Sequence[Row],
    scored: Sequence[Scored],
    threshold: float,
    value: Callable[[Row], str],
    against_real: bool = False,
) -> tuple[dict[str, dict[str, Any]], int]:
    """Return the figures of the most frequent values, and how many values there are besides.

    Args:
        rows: All of them.
        scored: What was said about each.
        threshold: LLR from which one counts as an alarm.
        value: Returns that of a row.
        against_real: Whether the fakes of each value are set against all real clips.
    """
    values = Counter(value(row) for row in rows if row.fake or not against_real)
    figures = {}
    for name, _ in values.most_common(MAX_VALUES):
        chosen = [
            index
            for index, row in enumerate(rows)
            if value(row) == name or (against_real and not row.fake)
        ]
        figures[name] = _figures([rows[i] for i in chosen], [scored[i] for i in chosen], threshold)
    return figures, len(values) - len(figures)


def evaluate_video(
    manifest: Path,
    settings: Settings,
    *,
    columns: Sequence[str] = (),
    processes: int | None = None,
    scores: Path | None = None,
    told: many.Told = many.silent,
) -> dict[str, Any]:
    """Score every clip of a manifest with the face detector.

    Args:
        manifest: CSV with `file`, `label` (real or fake), `group` and any other columns.
        settings: The models, which frames are looked at, and what the decoder may use.
        columns: Columns whose values are reported apart; fakes of each against all real clips.
        processes: Worker processes; None for one a core.
        scores: Where to write the score of each clip, as CSV.
        told: Is told how many clips are done; see `many.Told`.

    Returns:
        Plain data: the figures of `evaluation.summarise`, what was not scored and why, the same
        by group and by column, and the speed.

    Raises:
        SetupError: The manifest or the models are not usable, or the scores cannot be written.
    """
    rows = read_manifest(manifest)
    manifests.check(manifest, [row.line.path for row in rows], scores)
    threshold = _video_detector(settings).calibration.threshold
    started = time.perf_counter()
    paths = [row.line.path for row in rows]
    scored = many.each(
        partial(_score_video, settings), paths, lambda _: _LOST, processes, told=told
    )
    wall_s = time.perf_counter() - started
    _write(scores, rows, scored)
    return report(rows, scored, threshold, columns, wall_s, against_real=True)


@lru_cache(maxsize=1)
def _video_detector(settings: Settings) -> video.VideoDetector:
    return video.load(Registry(settings.models_dir, device="cpu", threads=1))


def _look(settings: Settings, path: Path) -> PartialResult:
    """Score the faces that the fleet would look at in one recording, and nothing else of it."""
    look = bind(settings, _video_detector(settings), sync=False, sequence=False)
    return look(path, probe(path, decode_limits(settings))).result


def _score_video(settings: Settings, path: Path) -> Scored:
    return _said(partial(_look, settings, path))
