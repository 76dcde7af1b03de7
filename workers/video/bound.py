"""The video pipeline bound to the settings: what is left takes a file."""

from __future__ import annotations

import time
from functools import partial

from shared.halves import Analyze, decode_limits
from shared.settings import Settings
from workers.video import pipeline


def bind(
    settings: Settings,
    detector: pipeline.VideoDetector,
    *,
    sample_every: int | None = None,
    sync: bool = True,
    sequence: bool = True,
) -> Analyze:
    """Return what analyses a file as the settings say.

    Args:
        settings: Which installation.
        detector: The loaded models.
        sample_every: Analyse every n-th frame; None as the settings say.
        sync: Whether mouths are followed.
        sequence: Whether the sequence of frames is examined.
    """
    return partial(
        pipeline.analyze,
        detector=detector,
        sample_every=sample_every or settings.sample_rate,
        max_frames=settings.max_frames,
        sequence_s=settings.sequence_s,
        limits=decode_limits(settings),
        clock=time.perf_counter,
        sync=sync,
        sequence=sequence,
    )
