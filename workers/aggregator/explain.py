"""Why a verdict is what it is: its reasons in order of weight, and which part they point at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from shared.calibration import who_count
from shared.errors import Undecodable
from shared.records import Label, Outcome, PartialResult, Person, Reason, TimelinePoint
from workers.aggregator import crossmodal
from workers.aggregator import reasons as registry
from workers.aggregator.evidence import (
    FusionModel,
    Piece,
    Source,
    declared_llr,
    kind_terms,
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
#: Faces of which is told that they stand out in a part, the most telling ones.
_FACES_NAMED = 3
#: Speech from here on is told with its length, so nobody may be said not to have been heard.
_HEARD_S = 0.05
#: Points of a timeline that are further apart are two places, in seconds.
_APART_S = 5.0
#: Faces beyond the largest of their pictures, for each that was scored, that may be left out.
_MOST_BESIDE = 0.25
#: What speaks for a genuine recording, or for neither.
_CALM = (
    *(f"{side}_{answer}" for side in _SIDES.values() for answer in ("no_signs", "unclear")),
    "sync_agrees",
)
#: Provenance states that are reasons; `absent` and `unsupported` are only reported.
_PROVENANCE_CODES = {
    "declared_ai": "declared_ai",
    "valid": "provenance_valid",
    "invalid": "provenance_invalid",
}


def doubt(code: str) -> Reason:
    """Return the reason of an abstention or a reservation; it outweighs every other."""
    return registry.make(code)


def local_signs(half: PartialResult | None) -> tuple[Reason, ...]:
    """Return the reasons that parts of a voice or of a picture stand out: where, and whose face."""
    if half is None:
        return ()
    if half.modality == "audio":
        strongest_first = sorted(half.findings, key=lambda finding: -finding.strength)
        spans = [(finding.start_s, finding.end_s) for finding in strongest_first]
    else:
        highest = max((point.probability for point in half.timeline), default=0.0)
        spans = places(half.timeline) if highest >= _STANDS_OUT else []
    faces: dict[int | None, list[tuple[float, float]]] = {}
    for start_s, end_s in spans:
        there = [one for one in half.persons if one.start_s < end_s and one.end_s >= start_s]
        face = _most_suspicious(half, there)
        faces.setdefault(face.person if face else None, []).append((start_s, end_s))
    code = f"{_SIDES[half.modality]}_local_signs"
    return tuple(
        registry.make(code, spans_s=found, person=person)
        for person, found in list(faces.items())[:_FACES_NAMED]
    )


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

    Of a verdict that accuses, what calms comes after all signs, the lightest of which says where.
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
    found.sort(key=lambda reason: (accused is not None and reason.code in _CALM, -reason.weight))
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
    codes = [
        _unexamined_code(side, half)
        for side, half in sides
        if half is None or half.outcome is not Outcome.SCORED
    ]
    codes += (code for _, half in sides if half for code in (*left_out(half), *_further(half)))
    return tuple(map(registry.make, dict.fromkeys(codes)))  # what both have is said once


def left_out(half: PartialResult) -> tuple[str, ...]:
    """Name what of a half nobody looked at though a player may show it, if that is much."""
    dropped, faces = half.coverage.dropped, half.coverage.faces or 0
    crowded = dropped.get("too_many_faces", 0) > _MOST_BESIDE * faces
    found = {"ends_early": "broken_off" in dropped, "faces_left_out": crowded}
    return tuple(code for code, applies in found.items() if applies)


def _further(half: PartialResult) -> tuple[str, ...]:
    """Name what nobody looked at and no player shows unless it is asked to."""
    return tuple(
        code for code in ("other_tracks", "other_pictures") if code in half.coverage.dropped
    )


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


def places(timeline: Sequence[TimelinePoint], threshold: float = 0.5) -> list[tuple[float, float]]:
    """Return the span around the highest point that stays at or above a probability.

    After it come others of the kind, in order of their highest points, as far as they stand out.
    """
    runs: list[list[TimelinePoint]] = []
    before: TimelinePoint | None = None
    for point in timeline:
        if point.probability < threshold:
            before = None
            continue
        if before is None or point.start_s > before.end_s + _APART_S:
            runs.append([])
        runs[-1].append(point)
        before = point

    def height(run: list[TimelinePoint]) -> float:
        return max(point.probability for point in run)

    first, *others = sorted(runs, key=height, reverse=True) or [[]]
    told = [first, *(run for run in others if height(run) >= _STANDS_OUT)]
    return [(run[0].start_s, run[-1].end_s) for run in told if run]


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
    spans: list[tuple[float, float]] = []
    face: Person | None = None
    has_signs = is_accused or probability >= bands.half
    if has_signs:
        strong = probability >= bands.manipulated and label is not Label.SUSPICIOUS
        code = f"{side}_strong_signs" if strong else f"{side}_signs"
        face = _most_suspicious(half, who_count(half.persons))
        spans = places(_while_seen(half.timeline, face))
    elif probability <= bands.authentic:
        code = f"{side}_no_signs"
    else:
        code = f"{side}_unclear"
    found = [registry.make(code, piece.llr, spans_s=spans, person=face.person if face else None)]
    if not has_signs:
        found = list(local_signs(half)) or found
    if piece.weak:
        found.append(registry.make(f"{side}_{piece.weak}", piece.llr))
    return found


def _most_suspicious(half: PartialResult, among: Sequence[Person]) -> Person | None:
    """Return whose face looks most manipulated; None where there is only one, or a voice."""
    return max(among, key=lambda one: one.llr, default=None) if len(half.persons) > 1 else None


def _while_seen(timeline: Sequence[TimelinePoint], face: Person | None) -> Sequence[TimelinePoint]:
    """Return the part of a timeline in which a face is seen; all of it for none in particular."""
    if face is None:
        return timeline
    return [one for one in timeline if face.start_s < one.end_s and one.start_s <= face.end_s]


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
