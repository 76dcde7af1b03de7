"""Celery glue of the video half."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from celery.signals import worker_process_init

from shared import shadow
from shared.batching import CountedRegistry, timed_load
from shared.halves import Analyze, decode_limits, run_half
from shared.queues import VIDEO_TASK, app, check_schema
from shared.records import Analysis, Media
from shared.settings import get_settings
from shared.visibility import Receipt
from workers.video import pipeline


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
    _detector()
    _shadow()


@app.task(name=VIDEO_TASK, bind=True)
def analyze(self: Any, job_id: str, schema_version: int) -> None:
    """Score the faces and the sequence of frames of one upload."""
    check_schema(schema_version)
    settings = get_settings()

    def with_models(detector: pipeline.VideoDetector, *, sync: bool) -> Analyze:
        def score(path: Path, media: Media) -> Analysis:
            return pipeline.analyze(
                path,
                media,
                detector,
                sample_every=settings.sample_rate,
                max_frames=settings.max_frames,
                sequence_s=settings.sequence_s,
                limits=decode_limits(settings),
                clock=time.perf_counter,
                sync=sync,
            )

        return score

    score = with_models(_detector(), sync=True)
    second = _shadow()  # the mouth is followed by the models that decide
    both = shadow.beside("video", score, with_models(second, sync=False) if second else None)
    run_half(settings, "video", job_id, both, Receipt.of_message(self.request.properties))
