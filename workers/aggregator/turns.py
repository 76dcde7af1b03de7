"""Whether the task of a job may still wait its turn in a queue, or has got lost.

Nobody can look for a message in SQS, so the sweeper goes by what the workers of the queue do. SQS
hands out messages about in the order in which they came: once those workers do jobs that were made
`stuck_after_s` after a task was sent, the queue has come past that task. Until then it is not sent
again, however long the queue is: a backlog of a day makes no second message. A task that is sent
again waits its turn as a new one does, so a lost task costs one message each time that the queue
has come past it, and a job is given up only after `max_receive_count` of these.

Where nobody works (no node, a pause, a scaler at zero) nothing comes past, and another message
would help nobody: GuardianJobsWaitLong says so to people. SQS itself drops a message after
`KEPT`, so no task waits longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median_low

from shared import depths, presence, queues
from shared.jobs import JobStore
from shared.records import Job
from shared.settings import Settings

#: How long the queues of the stack keep a message (MessageRetentionPeriod, the most SQS allows).
KEPT = timedelta(days=14)
#: Jobs in work that are looked at, of each queue.
_FEW = 20


@dataclass(frozen=True)
class Line:
    """One queue of tasks, as a sweep finds it.

    Attributes:
        waiting: Whether it holds messages that no worker has taken.
        doing: Ids of the jobs that living workers say they do for it.
        reached: When the middle one of these jobs was made; None where there is none. A job that
            is done again counts by its first time, which makes this earlier, never later.
    """

    waiting: bool
    doing: frozenset[str]
    reached: datetime | None

    def excuses(self, job: Job, now: datetime, margin: timedelta) -> bool:
        """Whether the job is being done or may still have its turn."""
        if job.job_id in self.doing:
            return True
        asked = job.asked_at or job.created_at
        if not self.waiting or now - asked > KEPT:
            return False
        return self.reached is None or self.reached <= asked + margin


def lines(settings: Settings, store: JobStore, now: datetime) -> dict[str, Line]:
    """Look at each queue of tasks and at those who work on it.

    Raises:
        ServiceUnavailable: SQS or the table could not be reached.
    """
    workers = presence.alive(settings, now)
    found = {}
    for role, queue in queues.ROLE_QUEUES.items():
        doing = frozenset(
            job_id for worker in workers if worker.role == role for job_id in worker.doing
        )
        waiting = depths.backlog(settings, queue) > 0
        reached = _middle(store, sorted(doing)[:_FEW]) if waiting else None
        found[queue] = Line(waiting, doing, reached)
    return found


def _middle(store: JobStore, job_ids: Iterable[str]) -> datetime | None:
    """Return when the middle one of some jobs was made; None where none can be read."""
    made = [job.created_at for job in store.readable(job_ids)]
    return median_low(made) if made else None
