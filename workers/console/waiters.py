"""Who has waited longest for each kind of worker, found by a few reads at a time.

The index of unfinished jobs is ordered by when the sweeper will look at them, which says little of
their age: each is looked at every `stuck_after_s`. So the first of the index are a sample of all
ages, and another one after each sweep; the oldest that have been seen are remembered.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from shared.jobs import JobStore
from shared.presence import Worker
from shared.queues import ROLE_QUEUES
from shared.records import Job

#: Jobs that one look reads from the index.
_READ = 40
#: Jobs that are remembered for each queue, and read again by the next look.
_KEPT = 5


class Waiters:
    """Remembers the longest waiters between two looks."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._known: set[str] = set()

    def look(
        self, store: JobStore, now: datetime, workers: Iterable[Worker] = ()
    ) -> dict[str, float]:
        """Return the age in seconds of the oldest job that waits for each queue's workers.

        Args:
            store: Where jobs are.
            now: The time.
            workers: Those who are alive; what they work on does not wait.

        Raises:
            ServiceUnavailable: The table could not be reached.
        """
        jobs = {job.job_id: job for job in store.waiting(_READ)}
        known = store.readable(self._known - jobs.keys())
        jobs |= {job.job_id: job for job in known if not job.status.final}
        queue_of = {str(role): queue for role, queue in ROLE_QUEUES.items()}
        in_work = {(queue_of.get(one.role), job_id) for one in workers for job_id in one.doing}
        waiting: dict[str, list[Job]] = {}
        for job in sorted(jobs.values(), key=lambda job: job.created_at):
            for queue in job.missing or ("aggregate",):
                if (queue, job.job_id) not in in_work:
                    waiting.setdefault(queue, []).append(job)
        self._known = {job.job_id for line in waiting.values() for job in line[:_KEPT]}
        return {
            queue: round((now - line[0].created_at).total_seconds(), 1)
            for queue, line in waiting.items()
        }
