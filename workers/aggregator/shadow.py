"""What the verdict would be by a second set of models, beside the one that stands."""

from __future__ import annotations

from shared import shadow
from shared.records import Job, ShadowVerdict, Verdict
from workers.aggregator import fusion


def compare(job: Job, verdict: Verdict, model: fusion.FusionModel) -> ShadowVerdict | None:
    """Decide on the second set's halves by the same rule; it changes nothing in the verdict.

    Args:
        job: The job with its halves; one that the second set has not scored counts as it is.
        verdict: What was decided.
        model: Parameters of that decision.

    Returns:
        The label of the second set and whether it is another one; None where it scored nothing.
    """
    if not any(half.shadow for half in job.halves):
        return None
    audio, video = shadow.in_place(job.audio), shadow.in_place(job.video)
    other = fusion.decide(
        audio, video, prior=verdict.prior, decided_at=verdict.decided_at, model=model
    )
    return ShadowVerdict(
        label=other.label,
        flip=other.label is not verdict.label,
        probability=other.probability,
        llr=other.llr,
        models=tuple(ref for half in (audio, video) if half for ref in half.models),
    )
