"""Run a detector over somebody's manifest and report how well it does."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np

from shared.containers import AUDIO_CONTAINERS, sniff_file
from shared.errors import Permanent, SetupError, UndecodableAudio
from shared.media import probe
from shared.models import Registry
from shared.records import Media, Outcome, PartialResult, Track
from workers import evaluation
from workers.audio import pipeline as audio
from workers.audio.pooling import Calibration
from workers.video import pipeline as video

#: Labels of a manifest and whether they mean manipulated.
LABELS = {"bonafide": False, "real": False, "spoof": True, "fake": True}
#: Columns reported apart when they are there and none are asked for.
DEFAULT_COLUMNS = ("language",)
#: The same for pictures; fakes of each value are set against all untouched clips.
VIDEO_COLUMNS = ("manipulation", "generator")
#: Values of a column that are reported apart; the most frequent ones.
MAX_VALUES = 100


@dataclass(frozen=True)
class Row:
    """One line of a manifest."""

    path: Path
    fake: bool
    group: str
    columns: dict[str, str]


@dataclass(frozen=True)
class Scored:
    """What a detector said about one file; no score where it declined, with the reason."""

    llr: float | None
    reason: str | None
    media_s: float
    out_of_distribution: float = 0.0


def read_manifest(manifest: Path) -> list[Row]:
    """Read a CSV file with the columns `file` and `label`, and any others.

    Files are relative to the manifest. Without a column `group` every file is its own group.

    Raises:
        SetupError: The manifest cannot be read, lacks a column, or has an unknown label.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f"The manifest {manifest} cannot be read: {error}.") from error
    if not lines or not {"file", "label"} <= lines[0].keys():
        raise SetupError(f"The manifest {manifest} needs lines with the columns file and label.")
    rows = []
    for number, line in enumerate(lines, start=2):
        if line["label"] not in LABELS:
            raise SetupError(
                f"Line {number} of {manifest}: the label is {line['label']!r}; "
                f"known are {', '.join(LABELS)}."
            )
        rows.append(
            Row(
                path=manifest.parent / line["file"],
                fake=LABELS[line["label"]],
                group=line.get("group") or line["file"],
                columns={key: value or "" for key, value in line.items() if key},
            )
        )
    return rows


def evaluate_audio(
    manifest: Path,
    *,
    models_dir: Path | None = None,
    columns: Sequence[str] = (),
    processes: int | None = None,
) -> dict[str, Any]:
    """Score every file of a manifest with the voice detector.

    Args:
        manifest: CSV with `file`, `label` (bonafide or spoof), `group` and any other columns.
        models_dir: Directory of models; None for the packaged ones.
        columns: Columns whose values are reported apart.
        processes: Worker processes; None for one a core.

    Returns:
        Plain data: the figures of `evaluation.summarise`, what was not scored and why, the same
        by group and by column, and the speed.

    Raises:
        SetupError: The manifest or the models are not usable.
    """
    rows = read_manifest(manifest)
    registry = Registry(models_dir)
    threshold = Calibration.from_params(registry.entry(audio.MODEL).params).threshold
    processes = processes or cpu_count() or 1
    started = time.perf_counter()
    paths = [row.path for row in rows]
    spawn = get_context("spawn")  # ONNX Runtime's threads do not survive a fork
    with ProcessPoolExecutor(processes, spawn, _open_audio, (models_dir,)) as pool:
        scored = list(pool.map(_score_audio, paths, chunksize=4))
    return report(rows, scored, threshold, columns, time.perf_counter() - started)


_registry_dir: list[Path | None] = [None]
_FIRST_TRACK = Track(index=0, kind="audio", codec="unknown")


def _open_audio(models_dir: Path | None) -> None:
    _registry_dir[0] = models_dir
    _audio_detector()


@lru_cache(maxsize=1)
def _audio_detector() -> audio.AudioDetector:
    return audio.load(Registry(_registry_dir[0], device="cpu", threads=1))


def _hear(path: Path) -> PartialResult:
    """Score one recording; plain sound files are decoded without a probe, which costs as much."""
    container = sniff_file(path)
    if container in AUDIO_CONTAINERS:
        media = Media(container=container, tracks=(_FIRST_TRACK,))
        try:
            return audio.analyze(path, media, _audio_detector(), stability=False)
        except UndecodableAudio:
            pass  # the sound is not the first track, or the probe has the better reason
    return audio.analyze(path, probe(path), _audio_detector(), stability=False)


def _score_audio(path: Path) -> Scored:
    try:
        half = _hear(path)
    except Permanent as error:
        return Scored(None, error.code, 0.0)
    except OSError as error:
        return Scored(None, f"unreadable: {error.strerror}", 0.0)
    reason = None if half.outcome is Outcome.SCORED else half.reason
    return Scored(
        half.llr,
        reason,
        half.coverage.analysed_s,
        half.signals.get("out_of_distribution", 0.0),
    )


def report(
    rows: Sequence[Row],
    scored: Sequence[Scored],
    threshold: float,
    columns: Sequence[str],
    wall_s: float,
) -> dict[str, Any]:
    """Put the figures together: for all, by group, and by every named column."""
    media_s = sum(item.media_s for item in scored)
    names = columns or [name for name in DEFAULT_COLUMNS if name in rows[0].columns]
    return {
        **_figures(rows, scored, threshold),
        "abstained": dict(Counter(item.reason for item in scored if item.reason)),
        "by_group": dict(_apart(rows, scored, threshold, [row.group for row in rows])),
        "by": {
            name: dict(_apart(rows, scored, threshold, [row.columns.get(name, "") for row in rows]))
            for name in names
        },
        "media_s": round(media_s, 1),
        "wall_s": round(wall_s, 1),
        "real_time_factor": round(media_s / wall_s, 1) if wall_s else None,
    }


def _figures(rows: Sequence[Row], scored: Sequence[Scored], threshold: float) -> dict[str, Any]:
    kept = [(row, item) for row, item in zip(rows, scored, strict=True) if item.llr is not None]
    llr = np.array([item.llr for _, item in kept], dtype=np.float64)
    fake = np.array([row.fake for row, _ in kept], dtype=np.bool_)
    groups = [row.group for row, _ in kept]
    unfamiliar = [item.out_of_distribution >= 1 for _, item in kept]
    return {
        **evaluation.summarise(llr, fake, groups, threshold),
        "not_scored": len(rows) - len(kept),
        "unfamiliar": int(sum(unfamiliar)),
    }


def _apart(
    rows: Sequence[Row], scored: Sequence[Scored], threshold: float, values: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for value, _ in Counter(values).most_common(MAX_VALUES):
        chosen = [index for index, item in enumerate(values) if item == value]
        yield (
            value,
            _figures([rows[i] for i in chosen], [scored[i] for i in chosen], threshold),
        )


def evaluate_video(
    manifest: Path,
    *,
    models_dir: Path | None = None,
    columns: Sequence[str] = (),
    processes: int | None = None,
    sample_every: int = 30,
) -> dict[str, Any]:
    """Score every clip of a manifest with the face detector.

    Args:
        manifest: CSV with `file`, `label` (real or fake), `group` and any other columns.
        models_dir: Directory of models; None for the packaged ones.
        columns: Columns whose values are reported apart; fakes of each against all real clips.
        processes: Worker processes; None for one a core.
        sample_every: Look at every n-th frame.

    Returns:
        Plain data: the figures of `evaluation.summarise`, what was not scored and why, the same
        by group and by column, and the speed.

    Raises:
        SetupError: The manifest or the models are not usable.
    """
    rows = read_manifest(manifest)
    calibration = video.load(Registry(models_dir, device="cpu", threads=1)).calibration
    started = time.perf_counter()
    jobs = [(row.path, sample_every) for row in rows]
    spawn = get_context("spawn")  # ONNX Runtime's threads do not survive a fork
    with ProcessPoolExecutor(
        processes or cpu_count() or 1, spawn, _open_video, (models_dir,)
    ) as pool:
        scored = list(pool.map(_score_video, jobs, chunksize=2))
    wall_s = time.perf_counter() - started
    threshold = calibration.threshold
    figures = report(rows, scored, threshold, (), wall_s)
    names = columns or [name for name in VIDEO_COLUMNS if name in rows[0].columns]
    figures["by"] = {name: _against_real(rows, scored, threshold, name) for name in names}
    return figures


def _open_video(models_dir: Path | None) -> None:
    _registry_dir[0] = models_dir
    _video_detector()


@lru_cache(maxsize=1)
def _video_detector() -> video.VideoDetector:
    return video.load(Registry(_registry_dir[0], device="cpu", threads=1))


def _score_video(job: tuple[Path, int]) -> Scored:
    path, sample_every = job
    try:
        half = video.analyze(
            path,
            probe(path),
            _video_detector(),
            sample_every=sample_every,
            sync=False,
            sequence=False,
        ).result
    except Permanent as error:
        return Scored(None, error.code, 0.0)
    except OSError as error:
        return Scored(None, f"unreadable: {error.strerror}", 0.0)
    reason = None if half.outcome is Outcome.SCORED else half.reason
    return Scored(
        half.llr,
        reason,
        half.coverage.analysed_s,
        half.signals.get("out_of_distribution", 0.0),
    )


def _against_real(
    rows: Sequence[Row], scored: Sequence[Scored], threshold: float, column: str
) -> dict[str, Any]:
    """Return the figures of the fakes of each value of a column, each with all real clips."""
    values = Counter(row.columns.get(column, "") for row in rows if row.fake)
    figures = {}
    for value, _ in values.most_common(MAX_VALUES):
        chosen = [
            index
            for index, row in enumerate(rows)
            if not row.fake or row.columns.get(column, "") == value
        ]
        figures[value] = _figures([rows[i] for i in chosen], [scored[i] for i in chosen], threshold)
    return figures
