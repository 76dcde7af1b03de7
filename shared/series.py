"""The series that a process has from its start on: a rate needs the 0 before the 1."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Literal

from prometheus_client import Counter

from shared.records import Label, Outcome
from shared.telemetry import EVENTS, HEARTBEATS, LAST_RECEIVE, RECEIVE_ERRORS, TASKS, VERDICTS

#: What may become of an event record.
EVENT_OUTCOMES = (
    *("accepted", "probe", "rejected", "duplicate"),
    *("ignored", "retried", "failed", "dead_letter"),
)
#: How a task of a half may end.
TASK_OUTCOMES = (*Outcome, "error", "erased")
_HEARTBEAT_OUTCOMES = ("extended", "error", "lost", "limit")


def begin(queue: str, role: Literal["intake", "audio", "video", "aggregator"]) -> None:
    """Start what a process that receives is watched by.

    A process that never hears from its queue is one that has not heard since its start. Pool
    children count in files of their own, which are summed with the zeros of their parent.

    Args:
        queue: Full name of the queue that it receives from.
        role: What the process is.
    """
    LAST_RECEIVE.labels(queue).set_to_current_time()
    from_zero(RECEIVE_ERRORS, [queue])
    if role == "intake":
        from_zero(EVENTS, EVENT_OUTCOMES)
        return
    from_zero(HEARTBEATS, _HEARTBEAT_OUTCOMES)
    if role == "aggregator":
        from_zero(VERDICTS, Label)
    else:
        from_zero(TASKS, [role], TASK_OUTCOMES)


def from_zero(counter: Counter, *values: Iterable[str]) -> None:
    """Show a counter at 0 for every combination of the values of its labels."""
    for labels in product(*values):
        counter.labels(*labels)
