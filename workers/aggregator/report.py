"""The report of one job: a versioned JSON document, in words and in figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared import signing
from shared.errors import NotDecided
from shared.models import Registry
from shared.records import (
    Job,
    Media,
    ModelRef,
    PartialResult,
    Record,
    Superseded,
    Verdict,
)
from workers.aggregator import page_words, reasons
from workers.aggregator.wording import HEADLINES, NEXT_STEPS
from workers.phrases import LANGUAGES, Language

SCHEMA = "silver-guardian:report"
SCHEMA_VERSION = 1
_LIMITS = ("limit_statistics", "limit_new", "limit_quality", "limit_use")
#: What a half left out of which people are told in words; the rest is in numbers alone.
_LEFT_OUT = ("broken_off", "other_tracks", "other_pictures", "too_many_faces")


class ReportedFile(Record):
    """The file that the report is about."""

    name: str
    size_bytes: int | None
    sha256: str | None
    media: Media | None


class ReportedModel(ModelRef):
    """A model behind the report, with what its registry says."""

    modality: str | None = None
    licence: str | None = None
    training_data: str | None = None


class Wording(Record):
    """What the report says in one language."""

    headline: str
    part: str = ""
    """Which part of the recording the verdict accuses, and which other has signs, too."""
    next_step: str
    reasons: tuple[str, ...]
    not_examined: tuple[str, ...]
    limits: tuple[str, ...]


class Report(Record):
    """The document `report.json`; its JSON schema is published beside this file."""

    schema_name: Literal["silver-guardian:report"] = "silver-guardian:report"
    schema_version: Literal[1] = 1
    job_id: str
    received_at: datetime
    file: ReportedFile
    verdict: Verdict
    superseded: tuple[Superseded, ...] = ()
    audio: PartialResult | None
    video: PartialResult | None
    models: tuple[ReportedModel, ...]
    text: dict[Language, Wording]
    cache_hit: bool
    signature: signing.Signature | None = None


def render_json(job: Job, registry: Registry) -> dict[str, Any]:
    """Build the document of a decided job.

    Args:
        job: A job with a verdict.
        registry: Where the models' licences are looked up.

    Raises:
        NotDecided: The job has no verdict.
    """
    verdict = job.verdict
    if verdict is None:
        raise NotDecided(f"The job {job.job_id} has no verdict to report.")
    report = Report(
        job_id=job.job_id,
        received_at=job.created_at,
        file=ReportedFile(
            name=job.key.rsplit("/", 1)[-1],
            size_bytes=job.size_bytes,
            sha256=job.sha256,
            media=job.media,
        ),
        verdict=verdict,
        superseded=job.superseded,
        audio=job.audio,
        video=job.video,
        models=_models(job, verdict, registry),
        text={language: _wording(job, verdict, language) for language in LANGUAGES},
        cache_hit=job.cache_hit,
    )
    return report.model_dump(mode="json", exclude={signing.FIELD})


def schema() -> dict[str, Any]:
    """Return the JSON schema of the document, as published in report.schema.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA}:{SCHEMA_VERSION}",
        **Report.model_json_schema(mode="serialization"),
    }


def encode(body: Mapping[str, Any], key: Ed25519PrivateKey | None = None) -> bytes:
    """Write a document as canonical JSON on one line, signed where there is a key."""
    return signing.canonical(signing.sign(body, key) if key else body)


def _wording(job: Job, verdict: Verdict, language: Language) -> Wording:
    words = page_words.words(language)
    return Wording(
        headline=HEADLINES[verdict.label][language],
        part=" ".join(words[name] for name in _parts(verdict)),
        next_step=NEXT_STEPS[verdict.label][language],
        reasons=tuple(reasons.text(reason, language) for reason in verdict.reasons),
        not_examined=tuple(words[name].format(n=_apart(job)) for name in _omitted(job)),
        limits=tuple(words[name] for name in _LIMITS),
    )


def _parts(verdict: Verdict) -> list[str]:
    """Name the part that a verdict accuses, and the halves with signs that it does not name."""
    if verdict.manipulated_part is None:
        return []
    codes = {reason.code for reason in verdict.reasons}
    also = [
        f"also_{side}"
        for side in ("voice", "picture")
        if codes & {f"{side}_{kind}" for kind in ("signs", "strong_signs", "local_signs")}
        and verdict.manipulated_part not in (side, "both")
    ]
    return [f"part_{verdict.manipulated_part}", *also]


def _omitted(job: Job) -> list[str]:
    """Name what of this recording was not examined: first what is its own, then what never is."""
    dropped = {cause for half in job.halves for cause in half.coverage.dropped}
    absent = {half.reason for half in job.halves}
    names = [f"omitted_{cause}" for cause in _LEFT_OUT if cause in dropped]
    if any(half.coverage.frames_sampled for half in job.halves):
        names.append("omitted_between")
    if "no_video_track" not in absent:
        names.append("omitted_seen")
    if "no_audio_track" not in absent:
        names.append("omitted_heard")
    return [*names, "omitted_words"]


def _apart(job: Job) -> str:
    """Tell how far the pictures that were looked at are apart on average, in seconds."""
    cover = job.video.coverage if job.video else None
    if cover is None or not cover.frames_sampled:
        return ""
    return f"{max(0.1, cover.analysed_s / cover.frames_sampled):.1f}"


def _models(job: Job, verdict: Verdict, registry: Registry) -> tuple[ReportedModel, ...]:
    """Return every model behind the job; its licence only where the registry has that very file."""
    used = [ref for half in job.halves for ref in half.models]
    rows = []
    for ref in (*used, verdict.model):
        entry = registry.entries.get(ref.name)
        known = entry is not None and entry.sha256 == ref.sha256
        rows.append(
            ReportedModel(
                **ref.model_dump(),
                modality=entry.modality if entry and known else None,
                licence=entry.licence if entry and known else None,
                training_data=entry.training_data if entry and known else None,
            )
        )
    return tuple(rows)
