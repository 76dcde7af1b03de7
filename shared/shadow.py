"""A second set of models beside the one that decides: it scores the same files, and is compared.

Its directory is laid out like the first one's and may hold a few models only; where it has none,
those that decide are used. Whatever goes wrong with it is logged and counted, and nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import structlog

from shared.errors import GuardianError, code_of
from shared.models import Registry
from shared.records import Analysis, Media, Modality, Outcome, PartialResult, ShadowHalf
from shared.settings import Settings
from shared.telemetry import SHADOW_HALVES, STAGE_SECONDS

Analyze = Callable[[Path, Media], Analysis]
Detector = TypeVar("Detector")
#: What a shadow says of a half: every field but the time that it took.
_FIELDS = frozenset(ShadowHalf.model_fields) - {"took_ms"}
_log = structlog.get_logger()


def registry(settings: Settings) -> Registry | None:
    """Open the second set, with the deciding one behind it; None where none is set.

    Raises:
        SetupError: There is no manifest, or it cannot be read.
    """
    if settings.shadow_models_dir is None:
        return None
    return Registry(
        settings.shadow_models_dir,
        device=settings.device,
        threads=settings.threads,
        behind=Registry(settings.models_dir),
    )


def load(
    settings: Settings, modality: Modality, load_from: Callable[[Registry], Detector]
) -> Detector | None:
    """Load the second detector of a half; None where the second set has nothing for that half.

    A set that cannot be loaded is counted and logged: the half goes on without it.
    """
    try:
        found = registry(settings)
        if found is None or all(found.entry(name).modality != modality for name in found.own):
            return None
        return load_from(found)
    except Exception:  # noqa: BLE001  # whatever is wrong with it must not keep the deciding models from work
        SHADOW_HALVES.labels(modality, "not_loaded").inc()
        _log.exception("shadow_not_loaded", modality=modality)
        return None


def beside(modality: Modality, analyze: Analyze, second: Analyze | None) -> Analyze:
    """Let a second analysis follow each; its result is added to the first one's record."""
    if second is None:
        return analyze

    def both(path: Path, media: Media) -> Analysis:
        analysis = analyze(path, media)
        shadow = _score(modality, second, path, media)
        return replace(analysis, result=analysis.result.model_copy(update={"shadow": shadow}))

    return both


def _score(modality: Modality, analyze: Analyze, path: Path, media: Media) -> ShadowHalf | None:
    """Score with the second set; None where that failed."""
    started = time.perf_counter()
    try:
        result = analyze(path, media).result
    except Exception as error:  # noqa: BLE001  # a fault of the second set is none of the half
        SHADOW_HALVES.labels(modality, Outcome.FAILED).inc()
        _log.exception("shadow_failed", modality=modality, code=code_of(error))
        return None
    took_ms = round((time.perf_counter() - started) * 1000, 1)
    STAGE_SECONDS.labels(modality, "shadow").observe(took_ms / 1000)
    SHADOW_HALVES.labels(modality, result.outcome).inc()
    _log.info("shadow_done", modality=modality, llr=result.llr, took_ms=took_ms)
    return ShadowHalf(**{name: getattr(result, name) for name in _FIELDS}, took_ms=took_ms)


def in_place(half: PartialResult | None) -> PartialResult | None:
    """Return a half as the second set sees it; as it is where that has no say."""
    if half is None or half.shadow is None:
        return half
    return half.model_copy(update={name: getattr(half.shadow, name) for name in _FIELDS})


def digest(settings: Settings) -> str:
    """Return the digest of the second set, for the cache's key; empty without one that is read."""
    try:
        found = registry(settings)
    except GuardianError:
        return ""
    return found.digest if found else ""
