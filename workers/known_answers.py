"""The known-answer test: a bona fide and a manipulated clip must come out on their sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from shared.errors import SetupError
from shared.halves import decode_limits, examine
from shared.models import may_use_gpu
from shared.records import Analysis, Media, Modality, PartialResult
from shared.settings import Settings
from shared.telemetry import SELF_TEST
from workers.samples import SAMPLES

_log = structlog.get_logger()


def require(
    settings: Settings, modality: Modality, score: Callable[[Path, Media], Analysis]
) -> None:
    """Ask a worker that computes on a GPU; what a CPU computes follows from the models' digests.

    Raises:
        SetupError: The clips do not come out on their sides.
    """
    if not may_use_gpu(settings.device):
        return
    limits = decode_limits(settings)
    passed, answers = ask(modality, lambda path: examine(path, modality, score, limits)[0].result)
    if not passed:
        raise SetupError(f"The known clips do not come out on their sides: {answers}.")


def ask(
    modality: Modality, score: Callable[[Path], PartialResult]
) -> tuple[bool, dict[str, float | str | None]]:
    """Score a bona fide and a manipulated clip, and return whether both come out right, and how."""
    genuine, manipulated = (score(path).llr for path in SAMPLES)
    passed = genuine is not None and manipulated is not None and genuine < 0.0 < manipulated
    SELF_TEST.labels(modality).set(passed)
    answers: dict[str, float | str | None] = {
        "bona_fide_llr": genuine,
        "manipulated_llr": manipulated,
    }
    log = _log.info if passed else _log.error
    log("self_test", modality=modality, passed=passed, **answers)
    return passed, answers
