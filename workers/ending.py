"""Ends a worker in time: work that outlasts the grace period goes back to its queue at once."""

from __future__ import annotations

import os
import signal
import threading

import structlog
from billiard import active_children
from celery.signals import worker_shutting_down

from shared import objects, sqs_transport
from shared.settings import Settings

#: Longest wait for a child that was killed.
_END_S = 5
_log = structlog.get_logger()


class Ending:
    """Counts the requests to end; the first starts the grace period, the second ends it."""

    def __init__(self, settings: Settings) -> None:
        """Listen to the worker of this process.

        Args:
            settings: `grace_s` is the length of the grace period; 0 lets the work finish.
        """
        self._settings = settings
        self._asked = 0
        self._by_itself = False
        self._once = threading.Lock()
        worker_shutting_down.connect(self._on_request, weak=False)

    def finish(self) -> None:
        """End when the work in hand is done, however long it takes: nobody else asked for it."""
        self._by_itself = True
        os.kill(os.getpid(), signal.SIGTERM)

    def _on_request(self, **_: object) -> None:
        """Act from a thread: this is called inside a signal handler."""
        if self._by_itself:
            self._by_itself = False
            return
        self._asked += 1
        grace_s = self._settings.grace_s
        if self._asked == 1 and grace_s:
            self._begin(grace_s)
        elif self._asked == 2:  # noqa: PLR2004  # the second request
            self._begin(0)

    def _begin(self, after_s: float) -> None:
        timer = threading.Timer(after_s, self._hand_back)
        timer.daemon = True  # work that is finished sooner ends the process
        timer.start()

    def _hand_back(self) -> None:
        """Give back what is in hand, end the pool children, remove what they leave, and end.

        Celery would wait for its pool, which waits for the work; nothing is in hand any more.
        """
        if not self._once.acquire(blocking=False):
            return
        count = sqs_transport.hand_back(self._settings)
        _log.warning("work_handed_back", messages=count)
        for child in active_children():
            if child.pid:
                os.kill(child.pid, signal.SIGKILL)
                child.join(_END_S)
        objects.sweep_workspaces(self._settings, own=True)
        os._exit(os.EX_OK)
