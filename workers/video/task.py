"""Celery glue of the video half."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.signals import worker_process_init

from shared.queues import VIDEO_TASK, app
from workers.half import Half
from workers.video import pipeline
from workers.video.bound import bind

# the mouth is followed by the models that decide
_half = Half("video", pipeline.load, bind, partial(bind, sync=False))
worker_process_init.connect(_half.load, weak=False)


@app.task(name=VIDEO_TASK, bind=True)
def analyze(self: Any, job_id: str, schema_version: int) -> None:
    """Score the faces and the sequence of frames of one upload."""
    _half.work(self, job_id, schema_version)
