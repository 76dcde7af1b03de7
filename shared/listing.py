"""Job lists from the sharded index `newest`: all shards asked at once, no row read in vain."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from shared import aws, rows
from shared.rows import JobSummary
from shared.settings import Settings
from shared.telemetry import passing_over

_MAX_CURSOR = "9999"
#: Shards asked at once; two lists may be read at a time.
_readers = ThreadPoolExecutor(8, thread_name_prefix="listing")


@dataclass
class _Shard:
    """What has been read of one partition of the index, and where to go on."""

    name: str
    found: list[JobSummary] = field(default_factory=list)
    after: dict[str, Any] | None = None
    done: bool = False


def newest(
    settings: Settings, shards: int, limit: int, before: str | None = None
) -> list[JobSummary]:
    """List jobs, newest first, from the index; never by a scan.

    Jobs are spread evenly over the shards, so each is asked for little more than its share; one
    that turns out to hold more of the newest is asked again.

    Args:
        settings: Which installation.
        shards: How many partitions the index has.
        limit: How many jobs to return; see `whole`.
        before: ISO time in UTC to go on from; None begins with the newest.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    share = math.ceil(limit / shards) + math.isqrt(limit)
    parts = [_Shard(f"feed#{number}") for number in range(shards)]
    open_parts = parts
    while open_parts:
        list(_readers.map(lambda part: _read(settings, part, share, before), open_parts))
        merged = heapq.merge(
            *(part.found for part in parts), key=lambda row: row.created_at, reverse=True
        )
        found = whole(list(merged), limit)
        oldest = found[-1].created_at if len(found) >= limit else None
        open_parts = [
            part
            for part in parts
            if not part.done
            and (oldest is None or not part.found or part.found[-1].created_at >= oldest)
        ]
    return found


def whole(found: list[JobSummary], limit: int) -> list[JobSummary]:
    """Cut a list, newest first, after so many jobs, but not between those of one microsecond.

    A list goes on below the time of its last job, and would leave out the others of that time.
    """
    rest = takewhile(lambda row: row.created_at == found[limit - 1].created_at, found[limit:])
    return [*found[:limit], *rest]


def _read(settings: Settings, part: _Shard, limit: int, before: str | None) -> None:
    """Read the next rows of a shard."""
    start = {"ExclusiveStartKey": part.after} if part.after else {}
    with aws.translated("listing jobs"):
        answer = aws.client(settings, "dynamodb").query(
            TableName=settings.table,
            IndexName="newest",
            KeyConditionExpression="feed = :feed AND created < :before",
            ExpressionAttributeValues=rows.encode(
                {":feed": part.name, ":before": before or _MAX_CURSOR}
            ),
            ScanIndexForward=False,
            Limit=limit,
            **start,
        )
    part.found += _readable(rows.decode(row) for row in answer["Items"])
    part.after = answer.get("LastEvaluatedKey")
    part.done = part.after is None


def _readable(items: Iterable[dict[str, Any]]) -> Iterator[JobSummary]:
    """Yield the lines of the rows that can be read; the others hide none of them."""
    for item in items:
        with passing_over("job", job_id=item.get("pk")):
            yield rows.summary(item)
