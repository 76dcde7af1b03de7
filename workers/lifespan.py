"""Ends a worker that is a Kubernetes Job: after some jobs, or when there is nothing to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from celery.signals import task_received

from shared import loading, queues, sqs_transport
from shared.settings import Settings

#: Empty long polls after which a worker that has had no job yet ends: SQS's counts, which started
#: it, are approximate.
_EMPTY_POLLS = 3
#: Rest between two looks at whether the models are loaded.
_LOOK_S = 0.5
_log = structlog.get_logger()


def watch(settings: Settings, stop: threading.Event, end: Callable[[], None]) -> None:
    """End this process when it receives its last job, which it finishes; it receives no other.

    Args:
        settings: `exit_after_jobs` is the number of jobs; with 0 the worker never ends by itself.
        stop: Ends the watch.
        end: Lets the process finish what it has in hand, and end.
    """
    if settings.exit_after_jobs == 0:
        return
    received = 0
    first = threading.Event()

    def end_after(jobs: int) -> None:
        _log.info("worker_ending", jobs=jobs)
        end()

    def count(**_: object) -> None:
        nonlocal received
        received += 1
        first.set()
        if received == settings.exit_after_jobs:
            end_after(received)

    def wait_for_the_first() -> None:
        end_s = time.monotonic() + queues.CHILD_START_S
        while not loading.done() and time.monotonic() < end_s and not stop.wait(_LOOK_S):
            pass  # nothing is received before
        if not first.wait(_EMPTY_POLLS * (settings.receive_wait_s + 1)) and not stop.is_set():
            end_after(0)

    sqs_transport.gates.append(lambda: received < settings.exit_after_jobs)
    task_received.connect(count, weak=False)
    threading.Thread(target=wait_for_the_first, daemon=True).start()
