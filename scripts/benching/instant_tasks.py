"""The tasks of an analyzer whose analysis takes no time; all around it is the fleet's own code."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from celery.signals import worker_process_init

from shared import halves, loading
from shared.queues import AUDIO_TASK, VIDEO_TASK, app
from shared.records import Analysis, Coverage, Media, Modality, Outcome, PartialResult
from shared.settings import get_settings
from shared.visibility import Receipt


@lru_cache(maxsize=1)
def _half(modality: Modality) -> PartialResult:
    """Return a half that was written down, or one that says little."""
    given = os.environ.get("BENCH_HALVES")
    if given:
        text = Path(given, f"{modality}.json").read_text()
        return PartialResult.model_validate_json(text)
    return PartialResult(
        modality=modality,
        outcome=Outcome.SCORED,
        llr=-1.0,
        llr_interval=(-1.5, -0.5),
        probability=0.27,
        coverage=Coverage(analysed_s=60.0, speech_s=40.0, faces=60, frames_sampled=60, windows=30),
    )


def _found(_path: Path, modality: Modality, *_: object) -> tuple[Analysis, Media | None]:
    """Return the same half for every recording."""
    return Analysis(_half(modality)), None


halves.examine = _found


@worker_process_init.connect
def _load(**_: object) -> None:
    """Say that the models are loaded: there are none."""
    loading.load(lambda: True)


def _analyze(self: Any, modality: Modality, job_id: str) -> None:
    receipt = Receipt.of_message(self.request.properties)
    halves.run_half(get_settings(), modality, job_id, _never, receipt)


def _never(_path: Path, _media: Media) -> Analysis:
    raise AssertionError("the analysis is instant")


@app.task(name=AUDIO_TASK, bind=True)
def hear(self: Any, job_id: str, schema_version: int) -> None:
    """Store the audio half of a job."""
    del schema_version
    _analyze(self, "audio", job_id)


@app.task(name=VIDEO_TASK, bind=True)
def look(self: Any, job_id: str, schema_version: int) -> None:
    """Store the video half of a job."""
    del schema_version
    _analyze(self, "video", job_id)
