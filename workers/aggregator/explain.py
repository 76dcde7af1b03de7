"""Why a verdict is what it is: its reasons in order of weight, and which part they point at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from shared.errors import Undecodable
from shared.records import Label, Outcome, PartialResult, Reason, TimelinePoint
from workers.aggregator import crossmodal
from workers.aggregator import reasons as registry
from workers.aggregator.evidence import (
    FusionModel,
    Piece,
    Source,
    declared_llr,
    kind_terms,
    taking_part,
    to_probability,
)

Side = Literal["voice", "picture"]
_SIDES: dict[Source, Side] = {"audio": "voice", "video": "picture"}
#: From here on evidence beside the halves' scores is said to speak for something, in nats.
_CLEAR = 1.0
#: From this strength on, pictures are taken to be missing.
_LIKELY = 0.5
#: Faces of a calm recording do not reach this probability for more than a look.
_STANDS_OUT = 0.8
#: Speech from here on is told with its length, so nobody may be said not to have been heard.
_HEARD_S = 0.05
#: Points of a timeline that are further apart are two places, in seconds.
_APART_S = 5.0
#: Faces beyond the largest of their pictures, for each that was scored, that may be left out.
_MOST_BESIDE = 0.25
#: Provenance states that are reasons; `absent` and `unsupported` are only reported.
_PROVENANCE_CODES = {
    "declared_ai": "declared_ai",
    "valid": "provenance_valid",
    "invalid": "provenance_invalid",
}


def doubt(code: str) -> Reason:
    """Return the reason of an abstention; it outweighs every other."""
    return registry.make(code)


def local_signs(half: PartialResult | None) -> tuple[Reason, ...]:
    """Return the reason that a part of a voice or of a picture stands out, with its place."""
    if half is None:
        return ()
    if half.modality == "audio":
        place = max(half.findings, key=lambda finding: finding.strength, default=None)
        span = (place.start_s, place.end_s) if place else None
    else:
        highest = max((point.probability for point in half.timeline), default=0.0)
        span = peak(half.timeline) if highest >= _STANDS_OUT else None
    return (registry.make(f"{_SIDES[half.modality]}_local_signs", 0.0, *span),) if span else ()


def reasons(
    pieces: Mapping[Source, Piece],
    audio: PartialResult | None,
    video: PartialResult | None,
    model: FusionModel,
    prior: float,
    provenance: Mapping[str, str] | None,
    beside: tuple[Reason, ...],
    label: Label,
    accused: str | None,
) -> tuple[Reason, ...]:
    """Return what speaks for and against, heaviest first, then what was not examined.

    A half that the verdict accuses has signs, if only some: together they crossed the line. None
    has strong ones where the whole has some. What is said beside the halves' scores comes from
    `beside_scores`, if it is clear or is accused.
    """
    found: list[Reason] = []
    halves: tuple[tuple[Source, PartialResult | None], ...] = (("audio", audio), ("video", video))
    for source, half in halves:
        if source in pieces and half is not None:
            is_accused = accused in (_SIDES[source], "both") and pieces[source].llr > 0
            found += _half_reasons(source, pieces[source], half, model, prior, label, is_accused)
    found += [r for r in beside if r.weight >= _CLEAR or accused == "sequence"]
    found += provenance_reasons(provenance, model)
    found.sort(key=lambda reason: -reason.weight)
    return (*found, *unexamined(audio, video))


def sequence_reasons(
    pieces: Mapping[Source, Piece], video: PartialResult | None, model: FusionModel
) -> tuple[Reason, ...]:
    """Say where the order of the pictures looks changed, if the findings weigh anything.

    Missing pictures accuse nobody, since ordinary editing leaves them out too, but what they showed
    is not known: no reassuring verdict stands with them.
    """
    if video is None:
        return ()
    cuts = [f for f in video.findings if f.type == "deleted_frames" and f.strength >= _LIKELY]
    places_s = tuple(round((cut.start_s + cut.end_s) / 2, 2) for cut in cuts)
    found = (registry.make("sequence_removed", _CLEAR, places_s=places_s),) if cuts else ()
    if "sequence" not in pieces or pieces["sequence"].llr <= 0:
        return found
    weights = model.sequence.weights
    strongest = max(video.findings, key=lambda f: weights.get(f.type, 0.0) * f.strength)
    code = "sequence_frozen" if strongest.type == "frozen_run" else "sequence_findings"
    llr = pieces["sequence"].llr
    return (registry.make(code, llr, strongest.start_s, strongest.end_s), *found)


def beside_scores(
    pieces: Mapping[Source, Piece],
    audio: PartialResult | None,
    video: PartialResult | None,
    model: FusionModel,
) -> tuple[Reason, ...]:
    """Return what is to be said beside the halves' scores: of the sequence, of sound and mouth."""
    found = sequence_reasons(pieces, video, model)
    if "sync" in pieces:
        found += sync_reasons(pieces["sync"].llr, crossmodal.compare(audio, video))
    return found


def accusing(beside: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """Return those of `beside_scores` that no reassuring verdict can stand with."""
    return tuple(r for r in beside if r.code != "sync_agrees" and r.weight >= _CLEAR)


def sync_reasons(llr: float, found: crossmodal.Agreement | None) -> tuple[Reason, ...]:
    """Say whether sound and mouth fit, and by how much they are off where that is clear."""
    if found is None or abs(llr) < _CLEAR:
        return ()
    if llr < 0:
        return (registry.make("sync_agrees", llr),)
    if not found.is_offset:
        return (registry.make("sync_mismatch", llr),)
    code = "sync_late" if found.offset_s > 0 else "sync_early"
    return (registry.make(code, llr, offset_s=round(found.offset_s, 2)),)


def unexamined(audio: PartialResult | None, video: PartialResult | None) -> tuple[Reason, ...]:
    """Return why each half without a score has none, and what was left out of the others."""
    sides: tuple[tuple[Side, PartialResult | None], ...] = (("voice", audio), ("picture", video))
    found = tuple(
        registry.make(_unexamined_code(side, half))
        for side, half in sides
        if half is None or half.outcome is not Outcome.SCORED
    )
    codes = (code for _, half in sides if half for code in left_out(half))
    return (*found, *map(registry.make, dict.fromkeys(codes)))


def left_out(half: PartialResult) -> tuple[str, ...]:
    """Name what of a half nobody looked at though a player may show it, if that is much."""
    dropped, faces = half.coverage.dropped, half.coverage.faces or 0
    crowded = dropped.get("too_many_faces", 0) > _MOST_BESIDE * faces
    found = {"ends_early": "broken_off" in dropped, "faces_left_out": crowded}
    return tuple(code for code, applies in found.items() if applies)


def provenance_reasons(
    provenance: Mapping[str, str] | None, model: FusionModel
) -> tuple[Reason, ...]:
    """Return what the file's signed note of origin adds, if it has one."""
    code = _PROVENANCE_CODES.get((provenance or {}).get("status", ""))
    if code is None:
        return ()
    return (registry.make(code, declared_llr(provenance, model) or 0.0),)


def manipulated_part(
    pieces: Mapping[Source, Piece], model: FusionModel, declared: float | None
) -> str:
    """Name the likeliest kind of manipulation.

    Returns:
        `voice`, `picture`, `both`, `sequence`, `mismatch` (sound and picture from different
        sources), or `declared` where only the signed note says so.
    """
    values = {source: piece.llr for source, piece in pieces.items()}
    terms = kind_terms(values, model, declared)
    return max(terms, key=lambda kind: terms[kind])


def peak(timeline: Sequence[TimelinePoint], threshold: float = 0.5) -> tuple[float, float] | None:
    """Return the span around the highest point that stays at or above a probability."""
    if not timeline:
        return None
    top = max(range(len(timeline)), key=lambda index: timeline[index].probability)
    if timeline[top].probability < threshold:
        return None
    first = last = top

    def goes_on(at: int) -> bool:
        """Tell whether the point and the next are both high, with nothing between them."""
        one, other = timeline[at], timeline[at + 1]
        is_high = min(one.probability, other.probability) >= threshold
        return is_high and other.start_s <= one.end_s + _APART_S

    while first > 0 and goes_on(first - 1):
        first -= 1
    while last < len(timeline) - 1 and goes_on(last):
        last += 1
    return timeline[first].start_s, timeline[last].end_s


def _half_reasons(
    source: Source,
    piece: Piece,
    half: PartialResult,
    model: FusionModel,
    prior: float,
    label: Label,
    is_accused: bool,
) -> list[Reason]:
    side = _SIDES[source]
    probability = to_probability(piece.llr, prior)
    bands = model.bands
    span: tuple[float, float] | None = None
    person: int | None = None
    has_signs = is_accused or probability >= bands.half
    if has_signs:
        strong = probability >= bands.manipulated and label is not Label.SUSPICIOUS
        code = f"{side}_strong_signs" if strong else f"{side}_signs"
        span = peak(half.timeline)
        person = _accused_person(half)
    elif probability <= bands.authentic:
        code = f"{side}_no_signs"
    else:
        code = f"{side}_unclear"
    start_s, end_s = span or (None, None)
    found = [registry.make(code, piece.llr, start_s, end_s, person=person)]
    if not has_signs:
        found = list(local_signs(half)) or found
    if piece.weak:
        found.append(registry.make(f"{side}_{piece.weak}", piece.llr))
    return found


def _accused_person(half: PartialResult) -> int | None:
    """Return whose face looks most manipulated; None where there is only one, or a voice."""
    several = len(half.persons) > 1
    return max(taking_part(half), key=lambda one: one.llr).person if several else None


def _unexamined_code(side: Side, half: PartialResult | None) -> str:
    if half is not None and half.reason == Undecodable.code:
        return "file_damaged"
    if half is None or half.outcome is Outcome.FAILED:
        return f"{side}_failed"
    if half.reason == "no_speech" and (half.coverage.speech_s or 0.0) >= _HEARD_S:
        return "hardly_any_speech"
    if half.reason in registry.REGISTRY:
        return half.reason
    return f"{side}_not_examined"
