"""The pieces of evidence in two halves: what each weighs, how far, and which are weak."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from shared.records import ModelRef, Outcome, PartialResult, Person, Probability, Record
from workers.aggregator import crossmodal

Weight = Annotated[float, Field(ge=0.0)]
Kind = Literal["voice", "picture", "both", "mismatch", "sequence"]
Source = Literal["audio", "video", "sync", "sequence"]

#: Most that a mouth may weigh against a recording where it is seen for a short time, or beside
#: others who may be speaking: too little to be a reason.
HINT_LLR = 0.9
#: Seen in this share of the frames of whoever is seen most, somebody takes part.
_TAKES_PART = 0.25
#: Faces within a shorter span are nearly the same picture again and again, in seconds: they are
#: thin evidence, and never reassure.
BRIEF_S = 1.0
#: The signal that tells that the order of frames was looked at.
LOOKED_AT = "typical_step"
#: Which sources speak for each kind of manipulation.
SPEAKS_FOR: dict[Kind, tuple[Source, ...]] = {
    "voice": ("audio",),
    "picture": ("video",),
    "both": ("audio", "video"),
    "mismatch": ("sync",),
    "sequence": ("sequence",),
}


class Calibration(Record):
    """Affine map of one LLR, monotone by construction.

    Attributes:
        scale: Factor, at least 0; below 1 it discounts a detector that is surer than it is right.
        shift: Added after scaling, in nats.
        limit: Largest magnitude that the result may have, in nats.
        spread: Half width of the interval in nats where a detector gives none.
    """

    scale: Weight
    shift: float
    limit: Weight
    spread: Weight

    def apply(self, llr: float) -> float:
        """Map a detector's LLR to evidence, in nats."""
        return max(-self.limit, min(self.limit, self.scale * llr + self.shift))


class SequenceWeight(Record):
    """What findings about the order of frames weigh.

    Attributes:
        weights: Nats of a finding of full strength, by type; other types are only reported.
        none: Evidence where frames were looked at and nothing was found, in nats.
        limit: Most that all findings together weigh, in nats.
        limit_alone: The same where neither a voice nor a face was scored.
    """

    weights: dict[str, Weight]
    none: float
    limit: Weight
    limit_alone: Weight


class Declaration(Record):
    """What a valid signed statement "made with AI" weighs.

    Attributes:
        kind: Prior share among manipulated recordings.
        trusted: Its LLR in nats where a trusted issuer vouches for the signer.
        untrusted: Its LLR where anybody could have signed, to smear a genuine recording too.
    """

    kind: Probability
    trusted: Weight
    untrusted: Weight


class Bands(Record):
    """Edges of the labels, as probabilities of manipulation at the configured prior.

    Attributes:
        authentic: Up to here a recording is likely authentic.
        suspicious: From here on it is suspicious.
        manipulated: From here on it is likely manipulated.
        half: From here on a half is said to have signs of its own.
    """

    authentic: Probability
    suspicious: Probability
    manipulated: Probability
    half: Probability


class Gates(Record):
    """When evidence is weak, and what is left of it.

    Attributes:
        min_speech_s: Speech below this makes the voice's evidence weak, in seconds.
        min_faces: Fewer scored faces make the picture's evidence weak.
        out_of_distribution: Signal of that name at or above this makes a half's evidence weak.
        weak_limit: Largest magnitude of weak evidence, in nats.
        disagreement: Difference between the halves that counts as strong, in nats.
        straddle: An interval that reaches from this probability or below up into the band
            `likely_manipulated` fits both stories.
    """

    min_speech_s: Weight
    min_faces: int
    out_of_distribution: float
    weak_limit: Weight
    disagreement: Weight
    straddle: Probability


class FusionModel(Record):
    """Parameters of the fusion, as they lie in the registry.

    Attributes:
        kinds: Prior share of each kind of manipulation among manipulated recordings.
        trained: Whether the numbers were fitted; false means that they follow from theory.
    """

    model_ref: ModelRef
    trained: bool
    kinds: dict[Kind, Probability]
    audio: Calibration
    video: Calibration
    sync: Calibration
    sequence: SequenceWeight
    declared: Declaration
    bands: Bands
    gates: Gates


class Piece(Record):
    """One piece of evidence.

    Attributes:
        llr: Weight in nats; positive speaks for manipulation.
        low: Lower end of its interval, in nats.
        high: Upper end.
        weak: Why little is made of it (`thin`, `unfamiliar`), or None.
    """

    llr: float
    low: float
    high: float
    weak: str | None = None


def collect(
    audio: PartialResult | None, video: PartialResult | None, model: FusionModel
) -> dict[Source, Piece]:
    """Return the evidence there is; what was not measured is absent, never imputed."""
    pieces: dict[Source, Piece] = {}
    if audio is not None and scored(audio):
        pieces["audio"] = _half_piece(audio, model.audio, model.gates)
    if video is not None and scored(video):
        pieces["video"] = _half_piece(video, model.video, model.gates)
    agreement = crossmodal.compare(audio, video)
    if agreement is not None and model.sync.scale > 0:
        llr = model.sync.apply(agreement.mismatch)
        by_chance = agreement.seen_s < crossmodal.SURE_S  # of short series, some disagree so
        if by_chance or (_is_conversation(video) and not agreement.is_offset):
            llr = min(llr, HINT_LLR)
        spread = model.sync.spread
        pieces["sync"] = Piece(llr=llr, low=llr - spread, high=llr + spread)
    alone = not {"audio", "video"} & pieces.keys()
    sequence = _sequence_piece(video, model.sequence, alone=alone)
    if sequence is not None:
        pieces["sequence"] = sequence
    return pieces


def _taking_part(half: PartialResult) -> list[Person]:
    """Return who is seen in many of the frames of whoever is seen most."""
    most = max((one.frames for one in half.persons), default=0)
    return [one for one in half.persons if one.frames >= _TAKES_PART * most]


def scored(half: PartialResult) -> bool:
    """Tell whether a half has a score."""
    return half.outcome is Outcome.SCORED and half.llr is not None


def declared_llr(provenance: Mapping[str, str] | None, model: FusionModel) -> float | None:
    """Return the weight of the file's own statement that AI was used; None without one."""
    if not provenance or provenance.get("status") != "declared_ai":
        return None
    trusted = provenance.get("trusted") == "yes"
    return model.declared.trusted if trusted else model.declared.untrusted


def combine(
    values: Mapping[Source, float], model: FusionModel, declared: float | None = None
) -> float:
    """Combine evidence to one LLR of "manipulated in at least one way", in nats.

    A recording is manipulated if the voice is, or the picture, or both, or its sequence, or if
    sound and picture come from different sources. So the likelihood ratio is the average over
    these kinds, weighted by their prior shares, of the product of the ratios that speak for each.
    A kind that nothing was measured for is left out and the shares are scaled to 1. An authentic
    voice hence does not outweigh a manipulated picture. Increasing in every piece of evidence.
    """
    terms = kind_terms(values, model, declared)
    return _log_sum_exp(tuple(terms.values()))


def kind_terms(
    values: Mapping[Source, float], model: FusionModel, declared: float | None = None
) -> dict[str, float]:
    """Return log(prior share x likelihood ratio) of every kind that something was measured for."""
    measured: list[Kind] = [
        kind
        for kind, sources in SPEAKS_FOR.items()
        if all(source in values for source in sources) and model.kinds.get(kind, 0.0) > 0
    ]
    shares: dict[str, float] = {kind: model.kinds[kind] for kind in measured}
    ratios: dict[str, float] = {
        kind: sum(values[source] for source in SPEAKS_FOR[kind]) for kind in measured
    }
    if declared is not None:
        ratios["declared"] = declared
        rest = 1 - model.declared.kind
        shares["declared"] = sum(shares.values()) / rest * model.declared.kind if shares else 1.0
    total = sum(shares.values())
    return {kind: math.log(share / total) + ratios[kind] for kind, share in shares.items()}


def to_probability(llr: float, prior: float) -> float:
    """Turn a log-likelihood ratio in nats into a probability at a prior."""
    log_odds = llr + math.log(prior) - math.log1p(-prior)
    return 1 / (1 + math.exp(-log_odds)) if log_odds > 0 else 1 - 1 / (1 + math.exp(log_odds))


def _half_piece(half: PartialResult, calibration: Calibration, gates: Gates) -> Piece:
    assert half.llr is not None
    low, high = half.llr_interval or (half.llr, half.llr)
    llr = calibration.apply(half.llr)
    low = min(calibration.apply(low), llr) - (0 if half.llr_interval else calibration.spread)
    high = max(calibration.apply(high), llr) + (0 if half.llr_interval else calibration.spread)
    weak = _weakness(half, gates)
    kept = llr
    if weak:
        least = 0.0 if _is_brief(half) else -gates.weak_limit
        kept = max(least, min(gates.weak_limit, llr))
    return Piece(llr=kept, low=low + kept - llr, high=high + kept - llr, weak=weak)


def _weakness(half: PartialResult, gates: Gates) -> str | None:
    if half.signals.get("out_of_distribution", 0.0) >= gates.out_of_distribution:
        return "unfamiliar"
    if half.modality == "audio":
        thin = _below(half.coverage.speech_s, gates.min_speech_s)
    else:
        thin = _below(half.coverage.faces, gates.min_faces) or _is_brief(half)
    return "thin" if thin else None


def _is_brief(half: PartialResult) -> bool:
    """Tell whether all faces of a half lie within less than `BRIEF_S`."""
    persons = half.persons
    if not persons:  # of a voice, or not told
        return False
    return max(one.end_s for one in persons) - min(one.start_s for one in persons) < BRIEF_S


def _is_conversation(half: PartialResult | None) -> bool:
    """Tell whether two persons are seen at the same time or in turn: who speaks is not known.

    One person whose track is lost and begins again is two persons, one after the other.
    """
    persons = _taking_part(half) if half else ()
    return any(_share_time(*pair) for pair in itertools.combinations(persons, 2))


def _share_time(one: Person, other: Person) -> bool:
    """Tell whether two persons are there together for most of the shorter one's time."""
    together = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return together > min(one.end_s - one.start_s, other.end_s - other.start_s) / 2


def _below(value: float | None, least: float) -> bool:
    return value is not None and value < least


def _sequence_piece(
    video: PartialResult | None, weights: SequenceWeight, *, alone: bool
) -> Piece | None:
    """Weigh the findings about the order of frames; absent where frames were not looked at."""
    if video is None or video.outcome is Outcome.FAILED:
        return None
    found = sum(
        weights.weights.get(finding.type, 0.0) * finding.strength for finding in video.findings
    )
    if not found:
        is_calm = LOOKED_AT in video.signals and not alone
        return Piece(llr=weights.none, low=weights.none, high=weights.none) if is_calm else None
    limit = weights.limit_alone if alone else weights.limit
    llr = min(limit, weights.none + found)
    return Piece(llr=llr, low=max(weights.none, llr - 1), high=llr + 1)


def _log_sum_exp(terms: tuple[float, ...]) -> float:
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))
