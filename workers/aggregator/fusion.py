"""The meta-learner: from two halves to one verdict, as far as the evidence goes and no further."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from pydantic import ValidationError

from shared.errors import SetupError, UndecodableAudio, UndecodableVideo
from shared.models import Registry
from shared.records import Label, Outcome, PartialResult, Reason, Verdict
from workers.aggregator import evidence, explain
from workers.aggregator.evidence import FusionModel, Piece, Source, to_probability
from workers.aggregator.wording import NEXT_STEPS

__all__ = ["FusionModel", "decide", "load"]

#: Name of the parameters in the registry.
MODEL = "fusion"


def load(registry: Registry, name: str = MODEL) -> FusionModel:
    """Load and check the parameters.

    Raises:
        ModelMissing: The registry or the file is not there.
        ModelCorrupt: The file does not have the registered digest.
        SetupError: The parameters are not valid.
    """
    parameters = json.loads(registry.verify(name))
    parameters.pop("schema", None)
    try:
        return FusionModel(model_ref=registry.entry(name).ref, **parameters)
    except (ValidationError, TypeError) as error:
        raise SetupError(f"The parameters of {name!r} are not valid: {error}") from error


def decide(
    audio: PartialResult | None,
    video: PartialResult | None,
    *,
    prior: float,
    decided_at: datetime,
    model: FusionModel,
    provenance: Mapping[str, str] | None = None,
) -> Verdict:
    """Give the verdict on one recording.

    Args:
        audio: The voice's half; None where it never arrived.
        video: The picture's half; None where it never arrived.
        prior: Probability of manipulation before looking at the recording, 0 to 1, exclusive.
        decided_at: Time of the decision.
        model: Parameters.
        provenance: What `provenance.inspect` said; None for what the halves carry of it.

    Returns:
        The verdict; without a probability where there is nothing to go on.
    """
    pieces = evidence.collect(audio, video, model)
    carried = [half.provenance for half in (video, audio) if half and half.provenance]
    provenance = provenance or next(iter(carried), None)
    declared = evidence.declared_llr(provenance, model)
    fields = {
        "prior": prior,
        "persons": video.persons if video else (),
        "timeline": {half.modality: half.timeline for half in (audio, video) if half},
        "provenance": dict(provenance) if provenance else None,
        "model": model.model_ref,
        "decided_at": decided_at,
    }
    if declared is None and not _has_ground(pieces):
        label = _without_ground(audio, video)
        reasons = explain.unexamined(audio, video) + explain.provenance_reasons(provenance, model)
        return Verdict(label=label, reasons=reasons, next_step=NEXT_STEPS[label]["en"], **fields)
    fused = _Fused(pieces, model, prior, declared)
    beside = explain.beside_scores(pieces, audio, video, model)
    label, doubts = _label(fused, audio, video, beside)
    part = explain.manipulated_part(pieces, model, declared)
    accused = part if label.accuses else None
    reasons = explain.reasons(
        pieces, audio, video, model, prior, provenance, beside, label, accused
    )
    said = {reason.code for reason in doubts}
    return Verdict(
        label=label,
        probability=fused.probability,
        llr=fused.llr,
        interval=fused.interval,
        audio_probability=_alone(pieces, "audio", prior),
        video_probability=_alone(pieces, "video", prior),
        modalities_used=_used(pieces, declared),
        manipulated_part=accused,
        reasons=(*doubts, *(reason for reason in reasons if reason.code not in said)),
        next_step=NEXT_STEPS[label]["en"],
        **fields,
    )


_HALVES: tuple[Source, ...] = ("audio", "video")
_UNREADABLE = (UndecodableAudio.code, UndecodableVideo.code)


class _Fused:
    """The combined evidence with its interval."""

    def __init__(
        self,
        pieces: Mapping[Source, Piece],
        model: FusionModel,
        prior: float,
        declared: float | None,
    ) -> None:
        self.pieces = pieces
        self.model = model
        self.declared = declared
        self.prior = prior

        def total(end: str) -> float:
            values = {source: getattr(piece, end) for source, piece in pieces.items()}
            return evidence.combine(values, model, declared)

        self.llr = total("llr")
        self.probability = to_probability(self.llr, prior)
        self.interval = (
            to_probability(total("low"), prior),
            to_probability(total("high"), prior),
        )


def _alone(pieces: Mapping[Source, Piece], source: Source, prior: float) -> float | None:
    return to_probability(pieces[source].llr, prior) if source in pieces else None


def _used(pieces: Mapping[Source, Piece], declared: float | None) -> tuple[str, ...]:
    """Name what counted; an undisturbed sequence of frames is part of looking at the picture."""
    used = [source for source, piece in pieces.items() if source != "sequence" or piece.llr > 0]
    return (*used, "provenance") if declared is not None else tuple(used)


def _has_ground(pieces: Mapping[Source, Piece]) -> bool:
    """Tell whether anything was measured; an undisturbed sequence of frames alone is not enough."""
    return "audio" in pieces or "video" in pieces or any(p.llr > 0 for p in pieces.values())


def _without_ground(audio: PartialResult | None, video: PartialResult | None) -> Label:
    """Label a recording with no evidence: something broke, or there was nothing to examine."""
    if any(half is None or half.outcome is Outcome.FAILED for half in (audio, video)):
        return Label.FAILED
    return Label.NOT_APPLICABLE


def _label(
    fused: _Fused,
    audio: PartialResult | None,
    video: PartialResult | None,
    beside: tuple[Reason, ...],
) -> tuple[Label, tuple[Reason, ...]]:
    """Place the probability in a band, unless a doubt forbids it.

    Returns:
        The label, and the reasons of an abstention or of a reservation, first ones first.
    """
    bands = fused.model.bands
    doubts: list[Reason] = []
    if fused.declared is None:
        doubts = _doubts_about_evidence(fused)
    if fused.probability <= bands.authentic:
        doubts += _doubts_about_calm(fused, audio, video, beside)
    if doubts:
        return Label.INCONCLUSIVE, tuple(doubts)
    if fused.probability >= bands.manipulated:
        return Label.LIKELY_MANIPULATED, ()
    if fused.probability >= bands.suspicious:
        return Label.SUSPICIOUS, ()
    if fused.probability <= bands.authentic:
        is_open = fused.interval[1] >= bands.suspicious
        return Label.LIKELY_AUTHENTIC, (explain.doubt("not_ruled_out"),) if is_open else ()
    return Label.INCONCLUSIVE, (explain.doubt("evidence_straddles"),)


def _doubts_about_evidence(fused: _Fused) -> list[Reason]:
    """Return why the evidence carries no label: all weak, too wide, or opposed and unclear."""
    bands, gates = fused.model.bands, fused.model.gates
    low, high = fused.interval
    halves = [fused.pieces[source] for source in _HALVES if source in fused.pieces]
    doubts = []
    if halves and all(piece.weak for piece in halves):
        doubts.append(explain.doubt("evidence_weak"))
    if low <= gates.straddle and high >= bands.manipulated:
        doubts.append(explain.doubt("evidence_straddles"))
    opposed = len(halves) > 1 and abs(halves[0].llr - halves[1].llr) >= gates.disagreement
    if opposed and bands.authentic < fused.probability < bands.manipulated:
        doubts.append(explain.doubt("halves_disagree"))
    return doubts


def _doubts_about_calm(
    fused: _Fused,
    audio: PartialResult | None,
    video: PartialResult | None,
    beside: tuple[Reason, ...],
) -> list[Reason]:
    """Return why nothing reassuring is said in spite of a low probability."""
    doubts = []
    alone = [_alone(fused.pieces, source, fused.prior) for source in _HALVES]
    if any(probability and probability >= fused.model.bands.half for probability in alone):
        doubts.append(explain.doubt("halves_disagree"))
    if any(_is_unexamined(half) for half in (audio, video)):
        doubts.append(explain.doubt("half_unexamined"))
    doubts += [*explain.local_signs(audio), *explain.local_signs(video)]
    doubts += explain.accusing(beside)
    if fused.declared is not None:
        doubts.append(explain.doubt("evidence_straddles"))
    return doubts


def _is_unexamined(half: PartialResult | None) -> bool:
    """Tell whether nobody could look at a half, or at much of it, though a player may show it."""
    if half is None or half.outcome is Outcome.FAILED or half.reason in _UNREADABLE:
        return True
    return any(explain.left_out(half))
