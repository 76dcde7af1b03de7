"""Job lists for people: filtered and paged, newest first, never by a scan."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import BaseModel

from shared.jobs import JobStore
from shared.records import JobStatus, Label
from shared.rows import JobSummary, iso
from workers.console.tail import Tail

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
        words = _alike(f"{row.job_id} {row.key} {row.error.code if row.error else ''}")
        return (
            self.status in (None, row.status)
            and self.label in (None, row.label)
            and _alike(self.text.strip()) in words
        )

    @property
    def everything(self) -> bool:
        """Whether every row is wanted."""
        return self == Wanted()


def _alike(text: str) -> str:
    """Return text in the form in which it is compared: file names of macOS come in another."""
    return unicodedata.normalize("NFC", text).casefold()


class Page(BaseModel):
    """Jobs as they were `age_s` seconds ago; `next` is the `before` of the next page.

    A page may hold fewer jobs than asked for, or none, and still have a next one: then so many rows
    were `looked_at`, and others lie further down. Jobs of one microsecond are all on one page.
    """

    jobs: list[JobSummary]
    next: str | None
    looked_at: int
    age_s: float = 0.0


def page(store: JobStore, tail: Tail, wanted: Wanted, limit: int, before: str | None) -> Page:
    """Return the next rows that fit: from memory as far as that goes down, else from the table.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    tail.watch()
    if tail.fresh:
        kept, complete = tail.below(before)
        if kept or complete:
            age_s = round(tail.age_s or 0.0, 1)
            return _choose(kept, wanted, limit, ended=complete).model_copy(update={"age_s": age_s})
    rows, ended = _rows(store, wanted, limit, before)
    return _choose(rows, wanted, limit, ended=ended)


def _choose(rows: Iterable[JobSummary], wanted: Wanted, limit: int, *, ended: bool) -> Page:
    """Pick what fits; `ended` says that there is nothing below the rows."""
    found: list[JobSummary] = []
    looked, last = 0, None
    for row in rows:
        if wanted.after and row.created_at <= wanted.after:
            return Page(jobs=found, next=None, looked_at=looked)
        if len(found) >= limit and row.created_at != last:
            break
        looked, last = looked + 1, row.created_at
        if wanted.fits(row):
            found.append(row)
    else:
        last = None if ended else last
    return Page(jobs=found, next=iso(last) if last else None, looked_at=looked)


def _rows(
    store: JobStore, wanted: Wanted, limit: int, before: str | None
) -> tuple[list[JobSummary], bool]:
    """Read rows from the table until as many as wanted fit; True where there are no others."""
    step = limit if wanted.everything else _STEP
    rows: list[JobSummary] = []
    while True:
        page = store.newest(step, before)
        rows += page
        ended = len(page) < step
        if (
            ended
            or len(rows) >= MAX_LOOKED_AT
            or sum(map(wanted.fits, rows)) >= limit
            or (wanted.after and page[-1].created_at <= wanted.after)
        ):
            return rows, ended
        before = iso(page[-1].created_at)


def in_utc(moment: datetime | None) -> datetime | None:
    """Read a time without a zone as UTC."""
    if moment is None:
        return None
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:  # the first and the last day that can be written
        return moment.replace(tzinfo=UTC)
