"""The pool of a worker: one child at a time, whose death leaves no lock to the next."""

from __future__ import annotations

from contextlib import nullcontext

from billiard.pool import Pool
from celery.concurrency import prefork


class _Pool(Pool):
    def _setup_queues(self) -> None:
        """Let the child read without a lock: it has no neighbour to share its queue with.

        It would hold the lock while it waits for work, and where it is killed then, as when memory
        runs out, every child after it would wait for the lock.
        """
        super()._setup_queues()  # type: ignore[misc]  # not in the stubs
        queue = self._inqueue  # type: ignore[attr-defined]  # nor is this
        queue._rlock = nullcontext()  # noqa: SLF001  # billiard offers no other way

    @staticmethod
    def _help_stuff_finish(*_: object) -> None:
        """Leave the queue as it is at the end; billiard would read beside the child."""


class TaskPool(prefork.TaskPool):
    """Celery's pool of processes, for a concurrency of 1."""

    BlockingPool = _Pool
