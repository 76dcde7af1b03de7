"""The pictures on the page of a report, and the one of the sound with its marks and words."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from shared import spectrum
from shared.errors import Permanent
from shared.records import EvidenceRef, Job, Verdict
from workers.aggregator import charts, page_words, reasons
from workers.phrases import Language

#: Pictures on a page; more would make it too large to send.
MAX_PICTURES = 12
#: Marked stretches that are named in words; the picture marks all of them.
MAX_SPANS = 8
_PICTURE_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PN": "image/png"}


def evidence_of(job: Job) -> list[EvidenceRef]:
    """Return the references to pictures of both halves, most telling first."""
    others = ("full_result", spectrum.KIND)
    references = [ref for half in job.halves for ref in half.evidence if ref.kind not in others]
    return sorted(references, key=lambda ref: -(ref.probability or 0.0))


def sound_of(job: Job) -> EvidenceRef | None:
    """Return the reference to the picture of the sound; None where there was no sound."""
    references = job.audio.evidence if job.audio else ()
    return next((ref for ref in references if ref.kind == spectrum.KIND), None)


def gather(job: Job, fetch: Callable[[str], bytes]) -> dict[str, bytes]:
    """Fetch the pictures behind a job.

    Args:
        job: The job.
        fetch: Returns the object under a key of the reports bucket.

    Returns:
        Content by name of the evidence; what is gone by now is left out, and the page says how
        many pictures it shows of how many.
    """
    found: dict[str, bytes] = {}
    of_sound = sound_of(job)
    for reference in (*([of_sound] if of_sound else []), *evidence_of(job)[:MAX_PICTURES]):
        if reference.key is None:
            continue
        try:
            found[reference.name] = fetch(reference.key)
        except Permanent:
            continue  # expired or erased: counted by the page
    return found


def sound(
    job: Job, verdict: Verdict, evidence: Mapping[str, bytes], language: Language
) -> dict[str, Any] | None:
    """Return the picture of the sound with its marks and words; None where it is not there."""
    reference = sound_of(job)
    source = _source(evidence.get(reference.name, b"")) if reference else None
    if reference is None or source is None:
        return None
    words = page_words.words(language)
    drawn = charts.sound(verdict, job.media.duration_s if job.media else None, reference.end_s)
    named = [reasons.span(start, end) for start, end in drawn.spans_s]
    spans = ", ".join(named[:MAX_SPANS] + ["…"] * (len(named) > MAX_SPANS))
    told = [words["sound_help"], words["sound_marks" if spans else "sound_unmarked"]]
    return {
        "source": source,
        "drawn": drawn,
        "alt": words["sound_alt"].format(end=drawn.ticks[-1], spans=spans or words["none"]),
        "told": " ".join(told).format(spans=spans),
        "pitches": [f"{hertz // 1000} kHz" for hertz in (spectrum.TOP_HZ, spectrum.TOP_HZ // 2)],
    }


def _source(content: bytes) -> str | None:
    """Return a picture as an address that needs no request; None for what is no picture."""
    kind = _PICTURE_TYPES.get(content[:3])
    return f"data:{kind};base64,{base64.b64encode(content).decode()}" if kind else None


def shown(job: Job, evidence: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return the pictures that are there, with their references, most telling first."""
    found = ((ref, _source(evidence.get(ref.name, b""))) for ref in evidence_of(job))
    return [{"ref": ref, "source": source} for ref, source in found if source]
