"""Celery glue of the audio half."""

from __future__ import annotations

from typing import Any

from celery.signals import worker_process_init

from shared.queues import AUDIO_TASK, app
from workers.audio import pipeline
from workers.audio.bound import bind
from workers.half import Half

_half = Half("audio", pipeline.load, bind, bind)
worker_process_init.connect(_half.load, weak=False)


@app.task(name=AUDIO_TASK, bind=True)
def analyze(self: Any, job_id: str, schema_version: int) -> None:
    """Score the voices of one upload."""
    _half.work(self, job_id, schema_version)
