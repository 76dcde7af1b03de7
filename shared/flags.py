"""Cooperative pause: workers of a paused queue stop taking new work and finish what they have."""

from __future__ import annotations

import time
from datetime import datetime

import structlog

from shared import items
from shared.errors import GuardianError
from shared.records import Record
from shared.settings import QUEUES, Settings

#: How long a process goes by what it last read.
CACHE_S = 2.0
_KIND = "pause"
_KEEP_S = 10 * 365 * 24 * 3600.0
_log = structlog.get_logger()
_seen: dict[tuple[str, str], tuple[float, bool]] = {}


class Pause(Record):
    """Who paused a queue, and when."""

    queue: str
    by: str
    at: datetime


def pause(settings: Settings, queue: str, by: str, now: datetime) -> Pause:
    """Ask the workers of a queue to take no new work.

    Args:
        settings: Which installation.
        queue: `uploads`, `audio`, `video` or `aggregate`.
        by: Who asks, for those who wonder later.
        now: When.

    Raises:
        SettingsInvalid: There is no such queue.
        ServiceUnavailable: The table could not be reached.
    """
    settings.queue(queue)
    flag = Pause(queue=queue, by=by, at=now)
    items.put(settings, _KIND, queue, flag.model_dump(mode="json"), now, _KEEP_S)
    return flag


def resume(settings: Settings, queue: str) -> None:
    """Let the workers of a queue take work again.

    Raises:
        SettingsInvalid: There is no such queue.
        ServiceUnavailable: The table could not be reached.
    """
    settings.queue(queue)
    items.delete(settings, _KIND, queue)


def pauses(settings: Settings) -> dict[str, Pause]:
    """Return the paused queues by short name.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    rows = ((queue, items.get(settings, _KIND, queue)) for queue in QUEUES)
    return {queue: Pause.model_validate(row, extra="ignore") for queue, row in rows if row}


def paused(settings: Settings, full_name: str) -> bool:
    """Tell whether a queue is paused, by its full name; asks the table every two seconds at most.

    Where the table cannot be asked, the last answer stands: a worker neither stops nor starts
    because of a passing fault.
    """
    slot = (settings.table, full_name)
    asked_s, answer = _seen.get(slot, (0.0, False))
    now_s = time.monotonic()
    if asked_s and now_s - asked_s < CACHE_S:
        return answer
    try:
        found = items.get(settings, _KIND, full_name.removeprefix(f"{settings.prefix}-"))
    except GuardianError as error:
        _log.warning("pause_not_read", queue=full_name, error=error.message)
    else:
        if (found is not None) != answer:
            _log.info("queue_paused" if found else "queue_resumed", queue=full_name)
        answer = found is not None
    _seen[slot] = (now_s, answer)
    return answer
