"""The page of a report: one file that needs nothing but itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.records import Coverage, Job, Label, Outcome, Person, Verdict
from shared.visible import visible
from workers import phrases
from workers.aggregator import charts, page_words, pictures, reasons
from workers.aggregator.report import Report
from workers.aggregator.wording import HEADLINES, percent
from workers.phrases import Language

#: Persons on a page; half of them are those seen longest.
_PERSONS_SHOWN = 8
_TEMPLATE = "page.html.j2"
#: Containers that their files are called otherwise than.
_CONTAINERS = {"mov": "MP4 / MOV"}
#: Below this length whole seconds say too little.
_SHORT_S = 10.0
#: From this length on, what was examined is told as players tell it.
_MINUTE_S = 60.0
#: Each label's mark: a shape for those who do not see the colour.
_MARKS = {
    Label.LIKELY_AUTHENTIC: "○",
    Label.SUSPICIOUS: "!",
    Label.LIKELY_MANIPULATED: "!!",
    Label.INCONCLUSIVE: "?",
    Label.NOT_APPLICABLE: "-",
    Label.FAILED: "✕",
}


def render(job: Job, language: Language, evidence: Mapping[str, bytes], document: bytes) -> str:
    """Render the page of a decided job: one file, no outside requests, prints on A4.

    Args:
        job: A job with a verdict.
        language: `en` or `ko`.
        evidence: Pictures by name, as `pictures.gather` returns them.
        document: Its report.json, whose digest the page says.
    """
    told = Report.model_validate_json(document, extra="ignore")  # of any release
    verdict = told.verdict
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
        "estimate": _estimate(verdict, language),
        "container": _CONTAINERS.get(job.media.container, job.media.container) if job.media else "",
        "duration": _told_duration(_duration_s(job), language),
        "chart": charts.timeline(verdict, _duration_s(job)),
        "sound": pictures.sound(job, verdict, evidence, language),
        "findings": [found for half in job.halves for found in half.findings],
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


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _main_persons(verdict: Verdict) -> list[Person]:
    """Return those who are seen longest and those with most signs, in the order in which they come.

    In a long recording, whose face is manipulated may be seen shortly.
    """
    longest = sorted(verdict.persons, key=lambda person: -person.frames)[: _PERSONS_SHOWN // 2]
    others = [person for person in verdict.persons if person not in longest]
    with_signs = sorted(others, key=lambda person: -person.llr)[: _PERSONS_SHOWN - len(longest)]
    return sorted([*longest, *with_signs], key=lambda person: person.person)


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
                facts.append((words["speech_s"], _told_seconds(cover.speech_s, words)))
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
        return _told_seconds(analysed_s, words)
    analysed_s = min(analysed_s, total_s)  # the last picture lasts a little longer than its track
    told, total = (_told_seconds(length_s, words) for length_s in (analysed_s, total_s))
    return words["out_of"].format(n=told, total=total)


def _told_seconds(length_s: float, words: Mapping[str, str]) -> str:
    if length_s >= _MINUTE_S:
        return reasons.clock(length_s)
    return words["seconds"].format(n=f"{length_s:.1f}")
