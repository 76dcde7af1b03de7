"""The known-answer test: a bona fide and a manipulated clip must come out on their sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from shared.halves import examine
from shared.models import may_use_gpu
from shared.records import Analysis, Media, Modality, PartialResult
from shared.settings import Settings
from shared.telemetry import SELF_TEST
from workers.samples import SAMPLES

_log = structlog.get_logger()


def fit(settings: Settings, modality: Modality, score: Callable[[Path, Media], Analysis]) -> bool:
    """Ask a worker that may compute on a GPU; a CPU's answers follow from the models' digests."""
    if not may_use_gpu(settings.device):
        return True
    passed, _ = ask(modality, lambda path: examine(path, modality, score, settings)[0].result)
    return passed


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
