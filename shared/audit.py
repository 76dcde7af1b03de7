"""The audit log: who changed what by hand, kept in the jobs table."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from typing import Any

import structlog

from shared import items
from shared.errors import GuardianError, code_of
from shared.records import Record
from shared.settings import Settings
from shared.telemetry import passing_over

#: Entries are kept for a year.
KEEP_S = 365 * 24 * 3600.0
_KIND = "audit"
_log = structlog.get_logger()


class Entry(Record):
    """One thing that a person did, or `failed` to do: the code of what stood in the way."""

    at: datetime
    who: str
    action: str
    target: str
    detail: str = ""
    failed: str | None = None


@contextmanager
def noted(
    settings: Settings, who: str, action: str, target: str, now: datetime, detail: str = ""
) -> Iterator[None]:
    """Write down what somebody does in the block; what cannot be written down is not done.

    It is written before, so that nothing is done unseen, and once more where it failed.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    entry = Entry(at=now, who=who, action=action, target=target, detail=detail)
    name = f"{now.timestamp():.6f}-{uuid.uuid4().hex[:8]}"
    _write(settings, name, entry)
    try:
        yield
    except Exception as error:
        with suppress(GuardianError):  # then it reads as done; why it failed is told anyway
            _write(settings, name, entry.model_copy(update={"failed": code_of(error)}))
        raise


def _write(settings: Settings, name: str, entry: Entry) -> None:
    body = entry.model_dump(mode="json", exclude_none=True)
    items.put(settings, _KIND, name, body, entry.at, KEEP_S)
    _log.info("audit", **entry.model_dump(exclude={"at"}, exclude_none=True))


def newest(settings: Settings, limit: int = 50, before: datetime | None = None) -> list[Entry]:
    """Return the latest entries, or the latest of those written before a time, newest first.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    return list(islice(_readable(items.every(settings, _KIND, before=before)), limit))


def _readable(bodies: Iterable[dict[str, Any]]) -> Iterator[Entry]:
    """Yield the entries that can be read; the others hide none of them."""
    for body in bodies:
        with passing_over(_KIND):
            yield Entry.model_validate(body, extra="ignore")
