"""Celery glue of the audio half."""

from __future__ import annotations

import time
from functools import lru_cache, partial
from typing import Any

from celery.signals import worker_process_init

from shared import shadow
from shared.batching import CountedRegistry, timed_load
from shared.halves import Analyze, decode_limits, run_half
from shared.queues import AUDIO_TASK, app, check_schema
from shared.settings import get_settings
from shared.visibility import Receipt
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
    _detector()
    _shadow()


@app.task(name=AUDIO_TASK, bind=True)
def analyze(self: Any, job_id: str, schema_version: int) -> None:
    """Score the voices of one upload."""
    check_schema(schema_version)
    settings = get_settings()

    limits = decode_limits(settings)

    def with_models(detector: pipeline.AudioDetector) -> Analyze:
        return partial(pipeline.examine, detector=detector, limits=limits, clock=time.perf_counter)

    second = _shadow()
    score = shadow.beside(
        "audio", with_models(_detector()), with_models(second) if second else None
    )
    run_half(settings, "audio", job_id, score, Receipt.of_message(self.request.properties))
