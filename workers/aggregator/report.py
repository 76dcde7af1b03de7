"""The report of one job: a versioned JSON document, and a page that needs nothing but itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared import signing
from shared.errors import NotDecided, Permanent
from shared.models import Registry
from shared.records import (
    Coverage,
    Job,
    Label,
    Media,
    ModelRef,
    Outcome,
    PartialResult,
    Person,
    Record,
    Superseded,
    Verdict,
)
from shared.visible import visible
from workers import phrases
from workers.aggregator import charts, page_words, pictures, reasons
from workers.aggregator.wording import HEADLINES, NEXT_STEPS
from workers.phrases import LANGUAGES, Language

__all__ = ["LANGUAGES", "Report", "encode", "gather_evidence", "render_html", "render_json"]

SCHEMA = "silver-guardian:report"
SCHEMA_VERSION = 1
#: Pictures on a page; more would make it too large to send.
MAX_PICTURES = 12
#: Persons on a page; those seen longest.
_PERSONS_SHOWN = 8
_TEMPLATE = "report.html.j2"
_LIMITS = ("limit_statistics", "limit_new", "limit_quality", "limit_use")
#: Containers that their files are called otherwise than.
_CONTAINERS = {"mov": "MP4 / MOV"}
#: Below this length whole seconds say too little.
_SHORT_S = 10.0
#: What a half left out of which people are told in words; the rest is in numbers alone.
_LEFT_OUT = ("broken_off", "other_tracks", "other_pictures", "too_many_faces")
#: Each label's mark: a shape for those who do not see the colour.
_MARKS = {
    Label.LIKELY_AUTHENTIC: "○",
    Label.SUSPICIOUS: "!",
    Label.LIKELY_MANIPULATED: "!!",
    Label.INCONCLUSIVE: "?",
    Label.NOT_APPLICABLE: "-",
    Label.FAILED: "✕",
}


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
    verdict = _verdict(job)
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
        models=_models(job, registry),
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


def gather_evidence(job: Job, fetch: Callable[[str], bytes]) -> dict[str, bytes]:
    """Fetch the pictures behind a job.

    Args:
        job: The job.
        fetch: Returns the object under a key of the reports bucket.

    Returns:
        Content by name of the evidence; what is gone by now is left out, and the page says how
        many pictures it shows of how many.
    """
    found: dict[str, bytes] = {}
    sound = pictures.sound_of(job)
    for reference in (*([sound] if sound else []), *pictures.evidence_of(job)[:MAX_PICTURES]):
        if reference.key is None:
            continue
        try:
            found[reference.name] = fetch(reference.key)
        except Permanent:
            continue  # expired or erased: counted by the page
    return found


def render_html(
    job: Job, language: Language, evidence: Mapping[str, bytes], document: bytes
) -> str:
    """Render the page of a decided job: one file, no outside requests, prints on A4.

    Args:
        job: A job with a verdict.
        language: `en` or `ko`.
        evidence: Pictures by name, as `gather_evidence` returns them.
        document: Its report.json, whose digest the page says.

    Raises:
        NotDecided: The job has no verdict.
    """
    verdict = _verdict(job)
    told = Report.model_validate_json(document)
    page = {
        "language": language,
        "w": page_words.words(language),
        "job": job,
        "verdict": verdict,
        "file_name": visible(job.key.rsplit("/", 1)[-1]),
        "issuer": _issuer(verdict),
        "label": str(verdict.label),
        "mark": _MARKS[verdict.label],
        "text": told.text[language],
        "models": told.models,
        "also": _also_with_signs(verdict),
        "estimate": _estimate(verdict, language),
        "container": _CONTAINERS.get(job.media.container, job.media.container) if job.media else "",
        "duration": _told_duration(_duration_s(job), language),
        "chart": charts.timeline(verdict, _duration_s(job)),
        "sound": pictures.sound(job, verdict, evidence, language),
        "findings": [f for half in (job.audio, job.video) if half for f in half.findings],
        "pictures": pictures.shown(job, evidence),
        "pictures_in_all": len(pictures.evidence_of(job)),
        "persons": _main_persons(verdict),
        "analysed_before": _analysed_before(job, language),
        "earlier": [(row, HEADLINES[row.label][language]) for row in reversed(job.superseded)],
        "coverage": _coverage(job, language),
        "report_sha256": hashlib.sha256(document).hexdigest(),
        "signed_by": told.signature.key_id if told.signature else None,
        "clock": reasons.clock,
        "span": reasons.span,
        "code": lambda code: phrases.of_code(code, language),
        "percent": percent,
    }
    return _environment().get_template(_TEMPLATE).render(page)


def percent(probability: float) -> int:
    """Round to whole percent, never to 0 or 100: nothing is that sure."""
    return max(1, min(99, round(100 * probability)))


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _verdict(job: Job) -> Verdict:
    if job.verdict is None:
        raise NotDecided(f"The job {job.job_id} has no verdict to report.")
    return job.verdict


def _main_persons(verdict: Verdict) -> list[Person]:
    """Return those who are seen longest, in the order in which they come."""
    longest = sorted(verdict.persons, key=lambda person: -person.frames)[:_PERSONS_SHOWN]
    return sorted(longest, key=lambda person: person.person)


def _also_with_signs(verdict: Verdict) -> list[str]:
    """Name the halves with signs that the part which the verdict accuses does not name."""
    codes = {reason.code for reason in verdict.reasons}
    return [
        side
        for side in ("voice", "picture")
        if codes & {f"{side}_signs", f"{side}_strong_signs"}
        and verdict.manipulated_part not in (side, "both")
    ]


def _analysed_before(job: Job, language: Language) -> str | None:
    """Tell which results are of an earlier analysis of the same content, and of when."""
    words = page_words.words(language)
    told = [
        f"{title} ({half.analysed_at:%Y-%m-%d %H:%M:%S} UTC)"
        for title, half in ((words["voice"], job.audio), (words["picture"], job.video))
        if half and half.analysed_at
    ]
    return words["cached_why"].format(halves=", ".join(told)) if told else None


def _duration_s(job: Job) -> float | None:
    return job.media.duration_s if job.media else None


def _told_duration(duration_s: float | None, language: Language) -> str:
    if duration_s is None:
        return ""
    if duration_s >= _SHORT_S:
        return reasons.clock(duration_s)
    return page_words.words(language)["seconds"].format(n=f"{duration_s:.1f}")


def _wording(job: Job, verdict: Verdict, language: Language) -> Wording:
    words = page_words.words(language)
    return Wording(
        headline=HEADLINES[verdict.label][language],
        next_step=NEXT_STEPS[verdict.label][language],
        reasons=tuple(reasons.text(reason, language) for reason in verdict.reasons),
        not_examined=tuple(words[name] for name in _omitted(job)),
        limits=tuple(words[name] for name in _LIMITS),
    )


def _omitted(job: Job) -> list[str]:
    """Name what of this recording was not examined: first what is its own, then what never is."""
    halves = [half for half in (job.audio, job.video) if half]
    dropped = {cause for half in halves for cause in half.coverage.dropped}
    absent = {half.reason for half in halves}
    names = [f"omitted_{cause}" for cause in _LEFT_OUT if cause in dropped]
    if any(half.coverage.frames_sampled for half in halves):
        names.append("omitted_between")
    if "no_video_track" not in absent:
        names.append("omitted_seen")
    if "no_audio_track" not in absent:
        names.append("omitted_heard")
    return [*names, "omitted_words"]


def _models(job: Job, registry: Registry) -> tuple[ReportedModel, ...]:
    """Return every model behind the job; its licence only where the registry has that very file."""
    used = [ref for half in (job.audio, job.video) if half for ref in half.models]
    rows = []
    for ref in (*used, _verdict(job).model):
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


def _estimate(verdict: Verdict, language: Language) -> list[str]:
    words = page_words.words(language)
    if verdict.probability is None or verdict.interval is None:
        return [words["no_estimate"]]
    low, high = (percent(end) for end in verdict.interval)
    return [
        words["of_100"].format(n=percent(verdict.probability), low=low, high=high),
        words["prior"].format(n=f"{1000 * verdict.prior:.4g}"),
    ]


def _coverage(job: Job, language: Language) -> list[dict[str, Any]]:
    """Return, for each half, rows of what was looked at and what was left out."""
    words = page_words.words(language)
    rows = []
    for title, half in ((words["voice"], job.audio), (words["picture"], job.video)):
        facts: list[tuple[str, str]] = []
        if half is not None and half.coverage != Coverage():
            cover = half.coverage
            facts.append((words["analysed_s"], _length(cover.analysed_s, _duration_s(job), words)))
            if cover.speech_s is not None:
                facts.append(
                    (words["speech_s"], words["seconds"].format(n=f"{cover.speech_s:.1f}"))
                )
            is_scored = half.outcome is Outcome.SCORED
            for name in ("windows", "frames_sampled", "faces"):
                count = getattr(cover, name)
                if count is not None and (is_scored or name == "frames_sampled"):
                    facts.append((words[name], f"{count}"))
            facts += [
                (f"{words['dropped']}: {phrases.of_code(cause, language)}", f"{count}")
                for cause, count in cover.dropped.items()
                if count
            ]
        rows.append({"title": title, "facts": facts})
    return rows


def _issuer(verdict: Verdict) -> str | None:
    """Return who is said to have signed the file's note of origin, where it fits the file."""
    note = verdict.provenance or {}
    return visible(note["issuer"]) if "issuer" in note and note["status"] != "invalid" else None


def _length(analysed_s: float, total_s: float | None, words: Mapping[str, str]) -> str:
    if total_s is None:
        return words["seconds"].format(n=f"{analysed_s:.1f}")
    analysed_s = min(analysed_s, total_s)  # the last picture lasts a little longer than its track
    return words["out_of"].format(n=f"{analysed_s:.1f}", total=f"{total_s:.1f}")
