"""Celery glue of the audio half."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from celery.signals import worker_process_init

from shared import loading, objects, shadow
from shared.batching import CountedRegistry, timed_load
from shared.halves import decode_limits, run_half
from shared.queues import AUDIO_TASK, app, check_schema
from shared.records import Analysis, Media
from shared.settings import get_settings
from shared.visibility import Receipt
from workers import known_answers
from workers.audio import pipeline


@lru_cache(maxsize=1)
def _detector() -> pipeline.AudioDetector:
    settings = get_settings()
    with timed_load("audio"):
        return pipeline.load(
            CountedRegistry(settings.models_dir, device=settings.device, threads=settings.threads)
        )


@lru_cache(maxsize=1)
def _shadow() -> pipeline.AudioDetector | None:
    return shadow.load(get_settings(), "audio", pipeline.load)


@worker_process_init.connect
def _load(**_: object) -> None:
    """Load once in the pool child, before it takes a task."""
    loading.load(_prepare)


def _prepare() -> bool:
    objects.sweep_workspaces(get_settings())  # of a child that was killed, in whose place we are
    _detector()
    _shadow()
    return known_answers.fit(get_settings(), "audio", _score)


def _score(path: Path, media: Media) -> Analysis:
    return _examine(path, media, _detector())


def _score_beside(path: Path, media: Media) -> Analysis:
    detector = _shadow()
    assert detector
    return _examine(path, media, detector)


def _examine(path: Path, media: Media, detector: pipeline.AudioDetector) -> Analysis:
    limits = decode_limits(get_settings())
    return pipeline.examine(path, media, detector, limits=limits, clock=time.perf_counter)


@app.task(name=AUDIO_TASK, bind=True)
def analyze(self: Any, job_id: str, schema_version: int) -> None:
    """Score the voices of one upload."""
    check_schema(schema_version)
    score = shadow.beside("audio", _score, _score_beside if _shadow() else None)
    receipt = Receipt.of_message(self.request.properties)
    with loading.replaced_where_lost():
        run_half(get_settings(), "audio", job_id, score, receipt)
