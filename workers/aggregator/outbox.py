"""Tells others of verdicts: a signed webhook and EventBridge, out of an outbox in the jobs table.

A verdict enters the outbox with the write that ends its job, and leaves it when all have been told
or when a day has passed. Nothing here delays a verdict, and every message may come twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import structlog

from shared import tracing
from shared.errors import GuardianError
from shared.outbox import Outbox
from shared.records import Job, Telling
from shared.series import from_zero
from shared.settings import Settings
from shared.telemetry import DELIVERIES, warn_of
from workers.aggregator import notices

#: Pause between two looks into the outbox.
_PAUSE_S = 2.0
#: Others leave a job alone for this long after one has claimed it: longer than all tries take.
_LEASE_S = 60.0
#: First pause after a try that failed; it doubles with every further one, up to the longest.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 3600.0
#: How a try may end.
OUTCOMES = ("delivered", "failed", "gave_up")
#: After this long nobody is told any more.
GIVE_UP_AFTER = timedelta(hours=24)
#: Receivers that are slow do not hold up each other.
_AT_ONCE = 8
_LONGEST_ERROR = 300
Tell = Callable[[Job], None]
_log = structlog.get_logger()


def run(settings: Settings, stop: threading.Event) -> None:
    """Look into the outbox until told to stop; ends at once where nobody wants to be told.

    Raises:
        SettingsInvalid: The webhook's address or secret is not usable.
    """
    targets = notices.targets(settings)
    if not targets:
        return
    from_zero(DELIVERIES, targets, OUTCOMES)
    while not stop.wait(_PAUSE_S):
        try:
            empty_once(Outbox(settings), targets, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001  # whatever it is, the next look must come
            warn_of("outbox_not_emptied", error)


def empty_once(store: Outbox, targets: dict[str, Tell], now: datetime) -> int:
    """Tell of every verdict that is due, and return how many tries that were."""
    began_s = time.monotonic()

    def clock() -> datetime:
        return now + timedelta(seconds=time.monotonic() - began_s)

    def claim_and_try(job: Job) -> bool:  # a lease that began with the round would end in it
        claimed = store.claim(job, clock(), _LEASE_S)
        if claimed:
            _try(store, targets, job, clock)
        return claimed

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="outbox") as pool:
        return sum(pool.map(claim_and_try, store.due(now)))


def _try(store: Outbox, targets: dict[str, Tell], job: Job, clock: Callable[[], datetime]) -> None:
    """Tell each target that has not been told, and write down how it went."""
    now = clock()
    before = job.telling or Telling(since=now)
    done, error = list(before.done), None
    late = now - before.since > GIVE_UP_AFTER
    for name, tell in targets.items():
        if name in done:
            continue
        try:
            with tracing.span(job.job_id, f"tell {name}"):
                tell(job)
        except GuardianError as failure:
            error = f"{name}: {failure.message}"[:_LONGEST_ERROR]
            DELIVERIES.labels(name, "gave_up" if late else "failed").inc()
            _log.warning("not_told", job_id=job.job_id, target=name, error=failure.message)
        else:
            done.append(name)
            DELIVERIES.labels(name, "delivered").inc()
    after = Telling(
        state="delivered" if error is None else "gave_up" if late else "pending",
        done=tuple(done),
        attempts=before.attempts + 1,
        since=before.since,
        last_error=error,
    )
    again_s = pause_s(after.attempts) if after.state == "pending" else None
    store.tried(job, after, clock(), again_s)


def pause_s(attempts: int) -> float:
    """Return the pause after so many tries: 5, 10, 20 s and so on, an hour at most."""
    return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (attempts - 1))
