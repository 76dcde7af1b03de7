"""Celery glue of the video half."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from celery.signals import worker_process_init

from shared import loading, objects, shadow
from shared.batching import CountedRegistry, timed_load
from shared.halves import run_half
from shared.queues import VIDEO_TASK, app, check_schema
from shared.records import Analysis, Media
from shared.settings import get_settings
from shared.visibility import Receipt
from workers import known_answers
from workers.video import pipeline
from workers.video.bound import bind


@lru_cache(maxsize=1)
def _detector() -> pipeline.VideoDetector:
    settings = get_settings()
    with timed_load("video"):
        return pipeline.load(
            CountedRegistry(settings.models_dir, device=settings.device, threads=settings.threads)
        )


@lru_cache(maxsize=1)
def _shadow() -> pipeline.VideoDetector | None:
    return shadow.load(get_settings(), "video", pipeline.load)


@worker_process_init.connect
def _load(**_: object) -> None:
    """Load once in the pool child, before it takes a task."""
    loading.load(_prepare)


def _prepare() -> bool:
    objects.sweep_workspaces(get_settings())  # of a child that was killed, in whose place we are
    _detector()
    _shadow()
    return known_answers.fit(get_settings(), "video", _score)


def _score(path: Path, media: Media) -> Analysis:
    return bind(get_settings(), _detector())(path, media)


def _score_beside(path: Path, media: Media) -> Analysis:
    detector = _shadow()
    assert detector
    # the mouth is followed by the models that decide
    return bind(get_settings(), detector, sync=False)(path, media)


@app.task(name=VIDEO_TASK, bind=True)
def analyze(self: Any, job_id: str, schema_version: int) -> None:
    """Score the faces and the sequence of frames of one upload."""
    check_schema(schema_version)
    score = shadow.beside("video", _score, _score_beside if _shadow() else None)
    receipt = Receipt.of_message(self.request.properties)
    with loading.replaced_where_lost():
        run_half(get_settings(), "video", job_id, score, receipt)
