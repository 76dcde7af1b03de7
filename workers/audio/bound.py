"""The audio pipeline bound to the settings: what is left takes a file."""

from __future__ import annotations

import time
from pathlib import Path

from shared.halves import Analyze, decode_limits
from shared.records import Analysis, Media
from shared.settings import Settings
from workers.audio import pipeline


def bind(
    settings: Settings, detector: pipeline.AudioDetector, *, draws_sound: bool = True
) -> Analyze:
    """Return what analyses a file as the settings say.

    Args:
        settings: Which installation.
        detector: The loaded models.
        draws_sound: Whether a picture of the sound is drawn as evidence.
    """
    limits = decode_limits(settings)

    def examine(path: Path, media: Media) -> Analysis:
        return pipeline.examine(path, media, detector, limits=limits, clock=time.perf_counter)

    def analyze(path: Path, media: Media) -> Analysis:
        half = pipeline.analyze(path, media, detector, limits=limits, clock=time.perf_counter)
        return Analysis(half)

    return examine if draws_sound else analyze
