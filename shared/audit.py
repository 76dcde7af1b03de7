"""The audit log: who changed what by hand, kept in the jobs table."""

from __future__ import annotations

import uuid
from datetime import datetime

import structlog

from shared import items
from shared.records import Record
from shared.settings import Settings

#: Entries are kept for a year.
KEEP_S = 365 * 24 * 3600.0
_KIND = "audit"
_log = structlog.get_logger()


class Entry(Record):
    """One thing that a person did."""

    at: datetime
    who: str
    action: str
    target: str
    detail: str = ""


def record(
    settings: Settings, who: str, action: str, target: str, now: datetime, detail: str = ""
) -> Entry:
    """Write down what somebody is about to do; what cannot be written down is not done.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    entry = Entry(at=now, who=who, action=action, target=target, detail=detail)
    name = f"{now.timestamp():.6f}-{uuid.uuid4().hex[:8]}"
    items.put(settings, _KIND, name, entry.model_dump(mode="json"), now, KEEP_S)
    _log.info("audit", who=who, action=action, target=target, detail=detail)
    return entry


def newest(settings: Settings, limit: int = 50) -> list[Entry]:
    """Return the latest entries, newest first.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    return [Entry.model_validate(row) for row in items.newest(settings, _KIND, limit)]
