"""The newest jobs, kept in memory for all who watch: one reads them, in slices, never by a scan."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.jobs import JobStore
from shared.listing import whole
from shared.rows import JobSummary, iso
from shared.telemetry import warn_of

#: Jobs that are kept; older ones are read from the table when somebody asks for them.
KEPT = 2000
#: Jobs at the top of the list, as many as a page may show: read again at every look.
_HEAD = 200
#: Jobs of the slice further down that a look reads again; all have had their turn after ten looks.
_SLICE = 200
#: Pause between two looks while somebody watches, and while nobody does.
_PAUSE_S, _IDLE_S = 1.0, 10.0
#: Nobody watches when nobody has asked for this long.
_WATCHED_S = 30.0
#: What is older is not shown as the present: a page then asks the table itself. Where the table is
#: so slow that a look takes long, the last one is shown for longer: a page would take as long.
FRESH_S, SLOW_FRESH_S = 8.0, 120.0


@dataclass
class Tail:
    """The newest jobs without a gap, from the newest down to the last row kept.

    One reader brings it up to date, so that any number of pages costs the table the same.
    """

    store: JobStore
    clock: Callable[[], float] = time.monotonic
    #: Jobs seen for the first time at the top since the tail began.
    arrived: int = 0
    #: The rows, newest first, and whether there is nothing older than the last of them.
    _kept: tuple[list[JobSummary], bool] = field(default_factory=lambda: ([], False))
    _turn: datetime | None = None
    #: Times of jobs that were changed by hand and are to be read again.
    _changed: deque[datetime] = field(default_factory=deque)
    _read_s: float | None = None
    _looking: bool = False
    _took_s: float = 0.0
    _expired_s: float = float("-inf")
    _asked_s: float = float("-inf")

    async def run(self) -> None:
        """Look until cancelled; a look that fails is logged, and the next one tries again."""
        while True:
            try:
                await asyncio.to_thread(self.look)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next must come
                warn_of("tail_not_read", error)
            watched = self.clock() - self._asked_s < _WATCHED_S
            await asyncio.sleep(_PAUSE_S if watched else _IDLE_S)

    def look(self) -> None:
        """Read the top of the list and one slice further down.

        Raises:
            ServiceUnavailable: The table could not be reached.
        """
        began_s = self.clock()
        self._looking = True
        try:
            self._read_head()
            while self._changed:
                self._read_from(self._changed.popleft() + timedelta(microseconds=1))
            self._read_s = began_s
            self._read_slice()
        finally:
            self._looking, self._took_s = False, self.clock() - began_s

    @property
    def rows(self) -> list[JobSummary]:
        """The kept rows, newest first."""
        return self._kept[0]

    @property
    def age_s(self) -> float | None:
        """Seconds since the last look began, or None before the first."""
        return None if self._read_s is None else self.clock() - self._read_s

    @property
    def fresh(self) -> bool:
        """Whether the last look is recent enough to be shown as the present."""
        if self._read_s is None or self._read_s <= self._expired_s:
            return False
        slow = self._looking or self._took_s > FRESH_S / 2
        return self.clock() - self._read_s <= (SLOW_FRESH_S if slow else FRESH_S)

    def watch(self) -> None:
        """Say that somebody looks: then the tail is read more often."""
        self._asked_s = self.clock()

    def expire(self, job_id: str) -> None:
        """Show nothing of what is known before the next look: somebody has just changed a job.

        That look reads the slice with the job, too.
        """
        self._changed += [row.created_at for row in self.rows if row.job_id == job_id]
        self._expired_s = self.clock()

    def below(self, before: str | None) -> tuple[list[JobSummary], bool]:
        """Return the kept rows older than an ISO time, and whether there are no others."""
        rows, complete = self._kept  # a look replaces the pair, it never changes one
        if before is None:
            return rows, complete
        start = datetime.fromisoformat(before)
        return [row for row in rows if row.created_at < start], complete

    def _read_head(self) -> None:
        """Read from the top down to what is known already; slices read on from there."""
        newest = self.rows[0].created_at if self.rows else None
        head: list[JobSummary] = []
        limit = _HEAD
        while len(head) < KEPT:
            page = self.store.newest(limit, iso(head[-1].created_at) if head else None)
            head += page
            if len(page) < limit:
                self._replace(head, None)
                break
            if newest is None or page[-1].created_at <= newest:
                self._replace(head, head[-1].created_at)
                break
            limit *= 2  # much has come since
        else:  # more has come than is kept
            self._kept = whole(head, KEPT), False
        if newest is None and self._read_s is not None:  # the first ever
            self.arrived += len(head)
        elif newest:
            self.arrived += sum(row.created_at > newest for row in head)

    def _read_slice(self) -> None:
        """Read one slice below the head again; the turns go down the list and start over."""
        if len(self.rows) < _HEAD:
            return
        last = self._read_from(self._turn or self.rows[_HEAD - 1].created_at)
        done = last is None or (len(self.rows) >= KEPT and last <= self.rows[-1].created_at)
        self._turn = None if done else last

    def _read_from(self, start: datetime) -> datetime | None:
        """Read one slice below a time; returns where it ends, or None at the end of the list."""
        page = self.store.newest(_SLICE, iso(start))
        last = page[-1].created_at if len(page) >= _SLICE else None
        self._replace(page, last, start)
        return last

    def _replace(
        self, page: list[JobSummary], last: datetime | None, start: datetime | None = None
    ) -> None:
        """Put what was read in the place of what was known of that stretch of time.

        Args:
            page: The rows, newest first.
            last: Time of the oldest of them; None where there is nothing older.
            start: The stretch begins below this time; None is the top.
        """
        above = [] if start is None else [row for row in self.rows if row.created_at >= start]
        below = [] if last is None else [row for row in self.rows if row.created_at < last]
        rows = [*above, *page, *below]
        kept = whole(rows, KEPT)
        self._kept = kept, (last is None or self._kept[1]) and len(kept) == len(rows)
