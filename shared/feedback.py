"""What people found out about finished jobs: kept for calibration, and to count false alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Literal

from shared import items
from shared.errors import NotDecided
from shared.jobs import JobStore
from shared.records import Label, ModelRef, Record
from shared.settings import Settings
from shared.telemetry import passing_over

Truth = Literal["genuine", "manipulated"]
KIND = "feedback"
#: Kept longer than the jobs: it holds no media and no key of an upload.
KEEP_S = 5 * 365 * 24 * 3600.0


class Feedback(Record):
    """One finding about one verdict."""

    job_id: str
    truth: Truth
    label: Label
    probability: float | None
    llr: float | None
    model: ModelRef
    given_at: datetime
    note: str = ""


def give(settings: Settings, job_id: str, truth: Truth, now: datetime, note: str = "") -> Feedback:
    """Store what a job turned out to be, beside what was said of it; a later word replaces it.

    Raises:
        UnknownJob: There is no such job.
        NotDecided: It has no verdict.
        ServiceUnavailable: The table could not be reached.
    """
    job = JobStore(settings).get(job_id)
    if job.verdict is None:
        raise NotDecided(f"The job is {job.status}; feedback is about a verdict.")
    feedback = Feedback(
        job_id=job_id,
        truth=truth,
        label=job.verdict.label,
        probability=job.verdict.probability,
        llr=job.verdict.llr,
        model=job.verdict.model,
        given_at=now,
        note=note,
    )
    items.put(settings, KIND, job_id, feedback.model_dump(mode="json"), now, KEEP_S)
    return feedback


def of(settings: Settings, job_id: str) -> Feedback | None:
    """Return what a job turned out to be, where somebody said so.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    body = items.get(settings, KIND, job_id)
    return None if body is None else _read(body)


def forget(settings: Settings, job_id: str) -> bool:
    """Remove what was said about a job, and tell whether there was anything.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    return items.delete(settings, KIND, job_id)


def every(settings: Settings) -> Iterator[Feedback]:
    """Yield all feedback, newest first.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    for body in items.every(settings, KIND):
        with passing_over(KIND):
            yield _read(body)


def _read(body: dict[str, Any]) -> Feedback:
    return Feedback.model_validate(body, extra="ignore")  # of any release


def counts(rows: Iterable[Feedback]) -> dict[str, int]:
    """Count verdicts by what they turned out to be."""
    found: Counter[str] = Counter()
    for row in rows:
        if row.label.accuses:
            found["hits" if row.truth == "manipulated" else "false_alarms"] += 1
        elif row.label is Label.LIKELY_AUTHENTIC:
            found["misses" if row.truth == "manipulated" else "correct_passes"] += 1
        else:
            found["without_a_statement"] += 1
    names = ("hits", "false_alarms", "misses", "correct_passes", "without_a_statement")
    return {name: found[name] for name in names}
