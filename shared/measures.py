"""What is counted of a half that is done and of a message that is dead, with bounded labels."""

from __future__ import annotations

from shared.errors import code_of
from shared.records import Outcome, PartialResult
from shared.telemetry import (
    ABSTENTIONS,
    DEAD_LETTERS,
    MEDIA_SECONDS,
    REAL_TIME_FACTOR,
    SCORES,
    STAGE_SECONDS,
)

#: Shorter recordings say nothing about speed: the fixed costs outweigh.
_SHORTEST_S = 1.0


def half(result: PartialResult) -> None:
    """Count what one analysis took and what it came to."""
    for stage, duration_ms in result.timings_ms.items():
        STAGE_SECONDS.labels(result.modality, stage).observe(duration_ms / 1000)
    if result.outcome is not Outcome.SCORED:
        ABSTENTIONS.labels(result.modality, result.reason or "unknown").inc()
    elif result.llr is not None:
        SCORES.labels(result.modality).observe(result.llr)
    length_s = result.coverage.analysed_s
    MEDIA_SECONDS.labels(result.modality).inc(length_s)
    if length_s >= _SHORTEST_S:
        took_ms = sum(result.timings_ms.values())
        REAL_TIME_FACTOR.labels(result.modality).observe(took_ms / 1000 / length_s)


def dead_letter(queue: str, error: BaseException) -> None:
    """Count a message that will not be tried again, by the short name of its queue."""
    DEAD_LETTERS.labels(queue, code_of(error)).inc()
