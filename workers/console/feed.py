"""Job lists for people: filtered and paged, newest first, never by a scan."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from pydantic import BaseModel

from shared.jobs import JobStore
from shared.records import JobStatus, Label
from shared.rows import JobSummary

#: Rows that one request looks at, at most; the answer then says where to go on.
MAX_LOOKED_AT = 2000
_STEP = 250


class Wanted(BaseModel):
    """Which jobs to list."""

    status: JobStatus | None = None
    label: Label | None = None
    text: str = ""
    after: datetime | None = None

    def fits(self, row: JobSummary) -> bool:
        """Tell whether a row is wanted."""
        words = f"{row.job_id} {row.key} {row.error.code if row.error else ''}".casefold()
        return (
            self.status in (None, row.status)
            and self.label in (None, row.label)
            and self.text.strip().casefold() in words
        )

    @property
    def everything(self) -> bool:
        """Whether every row is wanted."""
        return self == Wanted()


class Page(BaseModel):
    """One page of jobs; `next` is the `before` of the following one."""

    jobs: list[JobSummary]
    next: str | None


def page(store: JobStore, wanted: Wanted, limit: int, before: str | None) -> Page:
    """Return the next rows that fit.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    found: list[JobSummary] = []
    for looked, row in enumerate(_rows(store, limit if wanted.everything else _STEP, before), 1):
        if wanted.after and row.created_at <= wanted.after:
            return Page(jobs=found, next=None)
        if wanted.fits(row):
            found.append(row)
        if len(found) == limit or looked == MAX_LOOKED_AT:
            return Page(jobs=found, next=cursor(row.created_at))
    return Page(jobs=found, next=None)


def _rows(store: JobStore, step: int, before: str | None) -> Iterator[JobSummary]:
    while True:
        rows = store.newest(step, before)
        yield from rows
        if len(rows) < step:
            return
        before = cursor(rows[-1].created_at)


def cursor(moment: datetime) -> str:
    """Return where a page of jobs older than `moment` begins."""
    return moment.isoformat(timespec="microseconds")


def in_utc(moment: datetime | None) -> datetime | None:
    """Read a time without a zone as UTC."""
    if moment is None:
        return None
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:  # the first and the last day that can be written
        return moment.replace(tzinfo=UTC)
