"""Celery glue of the aggregator: from a job with its halves to a stored verdict and report."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog
from celery.signals import worker_process_init

from shared import loading
from shared.errors import UnknownJob
from shared.jobs import JobStore
from shared.models import Registry
from shared.queues import DECIDE_TASK, app, check_schema
from shared.settings import get_settings
from shared.visibility import Receipt
from workers.aggregator import fusion, service

_log = structlog.get_logger()


@lru_cache(maxsize=1)
def _model() -> fusion.FusionModel:
    return fusion.load(Registry(get_settings().models_dir))


@worker_process_init.connect
def _load(**_: object) -> None:
    """Load once in the pool child, before it takes a task."""
    loading.load(lambda: bool(_model()))


@app.task(name=DECIDE_TASK, bind=True)
def decide(self: Any, job_id: str, schema_version: int) -> None:
    """Give the verdict of one upload."""
    check_schema(schema_version)
    settings = get_settings()
    receipt = Receipt.of_message(self.request.properties)
    now = datetime.now(UTC)
    try:
        service.conclude(settings, JobStore(settings), job_id, _model(), now, receipt=receipt)
    except UnknownJob:  # erased with all that belongs to it; there is nothing left to do
        _log.info("job_gone", job_id=job_id)
