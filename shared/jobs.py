"""The DynamoDB table of jobs: conditional writes, the fan-in, and reads for console and CLI.

One item a job, keyed by `pk` = job_id. Records are JSON, so that no float is rounded.
Two sparse, sharded indexes: `newest` (`feed`, `created`) lists jobs by age without a scan, and
`pending` (`pending`, `due`) holds only unfinished jobs, for the sweeper.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from shared import listing, rows
from shared.errors import GuardianError, NotAdmitted, UnknownJob
from shared.records import (
    MODALITIES,
    Job,
    JobError,
    JobStatus,
    Media,
    Modality,
    Outcome,
    PartialResult,
    Upload,
    Verdict,
)
from shared.rows import JobSummary
from shared.settings import Settings
from shared.table import Table, Written
from shared.telemetry import passing_over

#: Partitions of each index: a single one takes 1,000 writes a second (DynamoDB quotas).
SHARDS = 4
#: Later than any time, in seconds since 1970.
_NEVER = 1 << 40


def shard_of(job_id: str) -> int:
    """Return the partition of each index that a job lies in."""
    return zlib.crc32(job_id.encode()) % SHARDS


@dataclass(frozen=True)
class Closing:
    """What takes a job from the sweeper's list in the very write that stores its verdict.

    Attributes:
        sets: Further assignments of the update.
        removes: Further attributes that go.
        values: What the assignments refer to.
    """

    sets: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)


class JobStore:
    """Reads and conditional writes of the jobs table; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        """Take table name, retention and patience from the settings."""
        self._settings = settings
        self._table = Table(settings)

    # --- intake -------------------------------------------------------------------------------

    def create(self, upload: Upload, now: datetime, event: str | None = None) -> Written:
        """Create the job of an upload unless it exists.

        One that was given up at the door, because it was never taken in, is begun after all.

        Args:
            upload: The object.
            now: The time of the write.
            event: Id of the message that told of it: whoever has that one sends the tasks.
        """
        item = self._new(upload, now, JobStatus.QUEUED)
        item |= {"event": event} if event else {}
        written = self._table.put(item)
        error = None if written.applied else written.job.error
        if error and error.code == NotAdmitted.code:
            written = self._table.put(item, over=written.job)
        return written

    def reject(
        self,
        upload: Upload,
        error: GuardianError,
        now: datetime,
        beside: Mapping[str, Any] | None = None,
    ) -> Written:
        """Create the job of an upload as rejected, with its reason code, unless it exists.

        Args:
            upload: The object.
            error: Why it is rejected.
            now: The time of the write.
            beside: Further attributes of the row.
        """
        item = {**self._new(upload, now, JobStatus.REJECTED), **(beside or {})}
        item["error"] = rows.text(JobError.of(error))
        return self._table.put(item)

    # --- the two halves -----------------------------------------------------------------------

    def begin(self, job_id: str, modality: Modality, now: datetime) -> Written:
        """Mark a half as running and read the job in one call; final jobs stay as they are."""
        return self._table.update(
            job_id,
            f"SET #status = :running, {modality}_started = :now, updated = :now",
            {":running": JobStatus.RUNNING, ":queued": JobStatus.QUEUED},
            now,
            "#status IN (:queued, :running)",
        )

    def save_partial(
        self,
        job_id: str,
        result: PartialResult,
        now: datetime,
        *,
        media: Media | None = None,
        sha256: str | None = None,
    ) -> Written:
        """Store one half unless it is there; a scored half may replace a failed one.

        The answer holds the whole job in either case, so that the caller sees whether both halves
        are in and a duplicate carries on where the first left off.
        """
        half = result.modality
        sets = [f"{half} = :half", f"{half}_outcome = :outcome", "updated = :now"]
        values: dict[str, Any] = {
            ":half": rows.text(result),
            ":outcome": result.outcome,
            ":failed": Outcome.FAILED,
        }
        if media:
            sets.append("media = if_not_exists(media, :media)")
            values[":media"] = rows.text(media)
        if sha256:
            sets.append("sha256 = if_not_exists(sha256, :sha256)")
            values[":sha256"] = sha256
        condition = f"attribute_not_exists({half}) OR {half}_outcome = :failed"
        return self._table.update(job_id, f"SET {', '.join(sets)}", values, now, condition)

    # --- the verdict --------------------------------------------------------------------------

    def claim_aggregation(self, job_id: str, now: datetime) -> bool:
        """Claim the right to send the one aggregation message of a job."""
        return self._table.update(
            job_id,
            "SET aggregation = :queued, asked = :now, updated = :now",
            {":queued": "queued"},
            now,
            "attribute_not_exists(aggregation)",
        ).applied

    def finish(
        self,
        job: Job,
        verdict: Verdict,
        now: datetime,
        *,
        report_key: str | None = None,
        closing: Closing | None = None,
    ) -> Written:
        """Store the verdict, once; the job is complete.

        Args:
            job: The job as the decision has seen it; where a half has changed since, nothing is
                written.
            verdict: The statement about it.
            now: The time of the write.
            report_key: Where the report lies, or will lie.
            closing: How the work ends where the report is written already; without it the job
                is pending until it is `reported`.
        """
        closing = closing or Closing(sets=("due = :due",), values={":due": self._due(now)})
        values: dict[str, Any] = {
            **closing.values,
            ":seen": job.outcomes,
            ":verdict": rows.text(verdict),
            ":label": verdict.label,
            ":complete": JobStatus.COMPLETE,
            ":done": "done",
        }
        sets = (
            "SET verdict = :verdict, label = :label, #status = :complete, aggregation = :done, "
            "decided_on = :seen, updated = :now"
        )
        sets += "".join(f", {assignment}" for assignment in closing.sets)
        if verdict.probability is not None:
            sets += ", probability = :probability"
            values[":probability"] = repr(verdict.probability)
        if report_key:
            sets += ", report_key = :report"
            values[":report"] = report_key
        condition = "attribute_not_exists(verdict)"
        for name in MODALITIES:
            half = job.half(name)
            if half is None:
                condition += f" AND attribute_not_exists({name})"
            else:
                condition += f" AND {name}_outcome = :{name}"
                values[f":{name}"] = half.outcome
        removes = ", ".join(("#error", *closing.removes))
        return self._table.update(job.job_id, f"{sets} REMOVE {removes}", values, now, condition)

    def reported(self, job_id: str, now: datetime) -> Written:
        """Note that the report of a decided job is written: it leaves the `pending` index."""
        return self._table.update(
            job_id, "SET updated = :now REMOVE pending, due", {}, now, "attribute_exists(verdict)"
        )

    def fail(self, job_id: str, error: GuardianError, now: datetime) -> Written:
        """End a job that has both halves and no verdict, with the cause.

        One whose halves have been taken back meanwhile, to be made again, is at work.
        """
        return self._table.update(
            job_id,
            "SET #status = :failed, #error = :error, updated = :now REMOVE pending, due",
            {
                ":failed": JobStatus.FAILED,
                ":error": rows.text(JobError.of(error)),
            },
            now,
            "attribute_not_exists(verdict) AND attribute_exists(audio) AND attribute_exists(video)",
        )

    def note(self, job_id: str, error: GuardianError, now: datetime) -> Written:
        """Write on an unfinished job what went wrong with it; its end takes the note away."""
        return self._table.update(
            job_id,
            "SET #error = :error, updated = :now",
            {
                ":error": rows.text(JobError.of(error)),
                ":queued": JobStatus.QUEUED,
                ":running": JobStatus.RUNNING,
            },
            now,
            "#status IN (:queued, :running)",
        )

    def reopen(self, job: Job, halves: Iterable[Modality], now: datetime) -> Written:
        """Take back the verdict and the halves named, so that they can be made again.

        The verdict moves to `superseded`: what was said once stays readable. Halves that are made
        again are made afresh, whatever the cache has.
        """
        halves = tuple(halves)
        gone = "verdict, label, probability, aggregation, report_key, #error, sweeps"
        for half in halves:
            gone += f", {half}, {half}_outcome, {half}_started"
        sets = "#status = :queued, asked = :now, updated = :now, pending = :shard, due = :due"
        values: dict[str, Any] = {
            ":queued": JobStatus.QUEUED,
            ":shard": f"pending#{shard_of(job.job_id)}",
            ":due": self._due(now),
            ":seen": job.status,
        }
        if halves:
            sets += ", fresh = :fresh"
            values[":fresh"] = True
        earlier = job.as_superseded()
        if earlier:
            sets += ", superseded = list_append(if_not_exists(superseded, :none), :earlier)"
            values |= {":none": [], ":earlier": [rows.text(earlier)]}
        return self._table.update(
            job.job_id, f"SET {sets} REMOVE {gone}", values, now, "#status = :seen"
        )

    def erase(self, job_id: str) -> None:
        """Remove the row of a job."""
        self._table.delete(job_id)

    # --- reads --------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job:
        """Read one job.

        Raises:
            UnknownJob: There is none with that id.
        """
        return rows.job(self._table.get(job_id))

    def newest(self, limit: int = 20, before: str | None = None) -> list[JobSummary]:
        """List jobs, newest first, from the index; `before` is an ISO time to page on from.

        Those of the same microsecond as the last one come with it, beyond the limit.
        """
        return listing.newest(self._settings, SHARDS, limit, before)

    def overdue(self, now: datetime, limit: int = 100) -> Iterator[Job]:
        """Yield jobs whose patience has run out before they were reported, a limit a shard."""
        return self._pending(limit, int(now.timestamp()))

    def waiting(self, limit: int = 25) -> Iterator[Job]:
        """Yield unfinished jobs, those whose patience ends first."""
        pending = self._pending(max(1, limit // SHARDS), _NEVER)
        return (job for job in pending if not job.status.final)

    def _pending(self, limit: int, before: int, part: str = "pending") -> Iterator[Job]:
        for shard in range(SHARDS):
            due = self._table.due(f"{part}#{shard}", before, limit)
            yield from islice(self.readable(due), limit)

    def readable(self, job_ids: Iterable[str]) -> Iterator[Job]:
        """Yield those of the jobs that are there and can be read; the others hide none of them."""
        for job_id in job_ids:
            # one that is not there was erased meanwhile
            with suppress(UnknownJob), passing_over("job", job_id=job_id):
                yield self.get(job_id)

    def postpone(self, job: Job, now: datetime, sweeps: int | None = None) -> Written:
        """Give an unfinished job another stretch of patience.

        Args:
            job: The job as it was found.
            now: The time of the write.
            sweeps: How often it has been asked for again, this time included. Of several sweepers
                that found the job, one gets `applied`. None where it is not asked for.
        """
        asks = "" if sweeps is None else ", asked = :now"
        after = job.sweeps if sweeps is None else sweeps
        return self._table.update(
            job.job_id,
            f"SET due = :due, sweeps = :next, updated = :now{asks}",
            {":due": self._due(now), ":next": after, ":seen": job.sweeps},
            now,
            "attribute_exists(due) AND (attribute_not_exists(sweeps) OR sweeps = :seen)",
        )

    # --- plumbing -----------------------------------------------------------------------------

    def _new(self, upload: Upload, now: datetime, status: JobStatus) -> dict[str, Any]:
        shard = shard_of(upload.job_id)
        expires = now + timedelta(days=self._settings.retention_days)
        item: dict[str, Any] = {
            "pk": upload.job_id,
            "status": status,
            "bucket": upload.bucket,
            "object_key": upload.key,
            "version_id": upload.version_id,
            "etag": upload.etag,
            "size_bytes": upload.size_bytes,
            "created": rows.iso(now),
            "updated": rows.iso(now),
            "expires": int(expires.timestamp()),
            "feed": "probes" if upload.is_probe else f"feed#{shard}",
        }
        if not status.final:
            item |= {"pending": f"pending#{shard}", "due": self._due(now)}
        return {name: value for name, value in item.items() if value is not None}

    def _due(self, now: datetime) -> int:
        return int(now.timestamp() + self._settings.stuck_after_s)
