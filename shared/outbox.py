"""The outbox of the jobs table: jobs whose verdict or rejection others are still to be told of.

It is a partition of the sparse index `pending` of its own: a job enters it with the very write
that takes it from the sweeper's list, or that rejects it, so that no crash can lose it on the way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from shared import rows
from shared.errors import GuardianError, UnknownJob
from shared.jobs import Closing, JobStore, shard_of
from shared.records import Job, JobStatus, Telling, Upload, Verdict
from shared.settings import Settings
from shared.table import Written


def close(settings: Settings, job: Job, now: datetime) -> Written:
    """End the work on a decided job: where others want to be told of it, that begins now.

    Returns:
        The job as it is now: somebody may have decided it anew meanwhile.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    outbox = Outbox(settings)
    if _are_told(settings, job.upload):
        return outbox.enter(job, now)
    return outbox.reported(job.job_id, now)


def closing(settings: Settings, job: Job, verdict: Verdict, now: datetime) -> Closing:
    """Return what does the same as `close` in the write that stores the verdict."""
    if _are_told(settings, job.upload):
        return Closing(sets=_ENTERS, values=_entering(job.job_id, verdict, now))
    return Closing(removes=("pending", "due"))


def reject(settings: Settings, upload: Upload, error: GuardianError, now: datetime) -> Written:
    """Create the job of an upload as rejected, unless it exists; others may want to be told.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    told = _attributes(upload.job_id, now, now) if _are_told(settings, upload) else {}
    return JobStore(settings).reject(upload, error, now, told)


def _are_told(settings: Settings, upload: Upload) -> bool:
    return bool(settings.webhook_url or settings.event_bus) and not upload.is_probe


def _attributes(job_id: str, of: datetime, now: datetime) -> dict[str, Any]:
    """Return what puts a job into the outbox, to tell what happened to it at a time."""
    return {
        "pending": _shard(job_id),
        "due": int(now.timestamp()),
        "telling": rows.text(Telling(since=now)),
        "told_of": rows.iso(of),
    }


#: The same as assignments, which also take a job from the sweeper's list.
_ENTERS = ("pending = :pending", "due = :due", "telling = :telling", "told_of = :told_of")


def _entering(job_id: str, verdict: Verdict, now: datetime) -> dict[str, Any]:
    attributes = _attributes(job_id, verdict.decided_at, now)
    return {f":{name}": value for name, value in attributes.items()}


class Outbox(JobStore):
    """The jobs table with what the outbox needs."""

    def enter(self, job: Job, now: datetime) -> Written:
        """Put a verdict into the outbox, once, and take its job from the sweeper's list.

        One that is older than what the outbox has, or had, does not take its place.
        """
        assert job.verdict is not None
        return self._table.update(
            job.job_id,
            f"SET {', '.join(_ENTERS)}, updated = :now",
            _entering(job.job_id, job.verdict, now),
            now,
            "attribute_exists(verdict) AND (attribute_not_exists(told_of) OR told_of < :told_of)",
        )

    def is_closed(self, job_id: str) -> bool:
        """Tell whether all work on a job has ended: report written, others told.

        Raises:
            UnknownJob: There is no such job.
        """
        return "pending" not in self._table.get(job_id)

    def due(self, now: datetime, limit: int = 25) -> Iterator[Job]:
        """Yield jobs that others are to be told of now, a limit a shard."""
        return self._pending(limit, int(now.timestamp()) + 1, "outbox")

    def claim(self, job: Job, now: datetime, lease_s: float) -> bool:
        """Claim the right to tell of a job until the lease ends; of several, one gets it."""
        if _happened(job) is None:  # the verdict was taken back after it was found due
            return False
        values: dict[str, Any] = {
            **_still(job),
            ":due": int(now.timestamp() + lease_s),
            ":latest": int(now.timestamp()),
        }
        condition = f"{_STILL} AND due <= :latest"
        sets = "SET due = :due, updated = :now"
        try:
            return self._table.update(job.job_id, sets, values, now, condition).applied
        except UnknownJob:  # erased meanwhile
            return False

    def tried(self, job: Job, telling: Telling, now: datetime, again_s: float | None) -> None:
        """Write down how a try went; None for `again_s` ends the telling.

        Nothing is written where a verdict has come meanwhile: of that one, nobody knows yet.
        """
        values: dict[str, Any] = {**_still(job), ":telling": rows.text(telling)}
        sets = "SET telling = :telling, updated = :now"
        if again_s is None:
            sets += " REMOVE pending, due"
        else:
            sets += ", due = :due"
            values[":due"] = int(now.timestamp() + again_s)
        with contextlib.suppress(UnknownJob):  # erased meanwhile
            self._table.update(job.job_id, sets, values, now, _STILL)


#: Whether what somebody has read of a job is what others are still to be told of.
_STILL = "pending = :outbox AND told_of = :of"


def _still(job: Job) -> dict[str, str]:
    happened = _happened(job)
    assert happened is not None
    return {":outbox": _shard(job.job_id), ":of": rows.iso(happened)}


def _happened(job: Job) -> datetime | None:
    """Return when a job was decided or rejected; None where it is neither."""
    if job.status is JobStatus.REJECTED:
        return job.created_at
    return job.verdict.decided_at if job.verdict else None


def _shard(job_id: str) -> str:
    return f"outbox#{shard_of(job_id)}"
