"""The outbox of the jobs table: decided jobs whose verdict others are still to be told of.

It is a partition of the sparse index `pending` of its own: a job enters it with the very write
that takes it from the sweeper's list, so that no crash can lose it on the way.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from shared import rows
from shared.errors import UnknownJob
from shared.jobs import SHARDS, Closing, JobStore
from shared.records import Job, Telling, Verdict
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
    if _are_told(settings, job):
        return outbox.enter(job, now)
    return outbox.reported(job.job_id, now)


def closing(settings: Settings, job: Job, verdict: Verdict, now: datetime) -> Closing:
    """Return what does the same as `close` in the write that stores the verdict."""
    if _are_told(settings, job):
        return Closing(sets=_ENTERS, values=_entering(job.job_id, verdict, now))
    return Closing(removes=("pending", "due"))


def _are_told(settings: Settings, job: Job) -> bool:
    return bool(settings.webhook_url or settings.event_bus) and not job.upload.is_probe


#: What puts a verdict into the outbox, and takes its job from the sweeper's list.
_ENTERS = ("pending = :outbox", "due = :due", "telling = :telling", "told_of = :of")


def _entering(job_id: str, verdict: Verdict, now: datetime) -> dict[str, Any]:
    return {
        ":outbox": _shard(job_id),
        ":due": int(now.timestamp()),
        ":telling": rows.text(Telling(since=now)),
        ":of": rows.iso(verdict.decided_at),
    }


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
            "attribute_exists(verdict) AND (attribute_not_exists(told_of) OR told_of < :of)",
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
        """Claim the right to tell of a verdict until the lease ends; of several, one gets it."""
        if job.verdict is None:  # taken back after it was found due
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

        Nothing is written where another verdict has come meanwhile: of that one, nobody knows yet.
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


#: Whether a verdict that somebody has read is the one that others are still to be told of.
_STILL = "pending = :outbox AND told_of = :of"


def _still(job: Job) -> dict[str, str]:
    assert job.verdict is not None
    return {":outbox": _shard(job.job_id), ":of": rows.iso(job.verdict.decided_at)}


def _shard(job_id: str) -> str:
    return f"outbox#{zlib.crc32(job_id.encode()) % SHARDS}"
