"""Small rows beside the jobs: pauses, audit entries, claims and the presence of workers.

They live in the jobs table, so that nothing more has to be provisioned. Their keys start with the
kind and a colon, which no job id does, and lists come from the index `newest`, never from a scan.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from shared import aws, rows
from shared.errors import GuardianError, ServiceUnavailable
from shared.settings import Settings

#: DynamoDB reads at most this many items a BatchGetItem.
_BATCH = 100
#: Rests before what DynamoDB left out of a batch is asked for again; then it is given up.
_RESTS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


class _Taken(GuardianError):
    """Somebody else has the claim."""

    code = "claim_taken"


def put(
    settings: Settings,
    kind: str,
    name: str,
    body: dict[str, Any],
    now: datetime,
    keep_s: float,
    *,
    listed: bool = True,
) -> None:
    """Write one row; it expires by itself.

    Args:
        settings: Which installation.
        kind: The list that the row belongs to.
        name: Its name in that list; a row of the same name is replaced.
        body: What it says; anything that JSON can say.
        now: Its time; lists are ordered by it.
        keep_s: Seconds until it may be forgotten.
        listed: Whether lists have it too; an entry of the index costs as much as a small row.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    item = {
        "pk": {"S": f"{kind}:{name}"},
        **({"feed": {"S": kind}} if listed else {}),
        "created": {"S": rows.iso(now)},
        "expires": {"N": str(int(now.timestamp() + keep_s))},
        "body": {"S": json.dumps(body, ensure_ascii=False)},
    }
    with aws.translated(f"writing {kind}"):
        aws.client(settings, "dynamodb").put_item(TableName=settings.table, Item=item)


def get(settings: Settings, kind: str, name: str) -> dict[str, Any] | None:
    """Read one row, or None where there is none.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    with aws.translated(f"reading {kind}"):
        answer = aws.client(settings, "dynamodb").get_item(
            TableName=settings.table, Key={"pk": {"S": f"{kind}:{name}"}}, ConsistentRead=True
        )
    return _body(answer["Item"]) if "Item" in answer else None


def delete(settings: Settings, kind: str, name: str) -> bool:
    """Remove one row, and tell whether there was one; one that is not there is fine too.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    with aws.translated(f"removing {kind}"):
        answer = aws.client(settings, "dynamodb").delete_item(
            TableName=settings.table,
            Key={"pk": {"S": f"{kind}:{name}"}},
            ReturnValues="ALL_OLD",
        )
    return "Attributes" in answer


def claim(
    settings: Settings, kind: str, name: str, now: datetime, again_after_s: float, keep_s: float
) -> int:
    """Claim the right to do something about a name, in this stretch of time; one of many gets it.

    Args:
        settings: Which installation.
        kind: What is to be done.
        name: To what.
        now: The time of the claim.
        again_after_s: Seconds until it may be claimed again.
        keep_s: Seconds until the claims are forgotten.

    Returns:
        How often it has been claimed with this time, or 0 where another has the claim.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    try:
        with aws.translated(f"claiming {kind}", {aws.CONDITION_FAILED: _Taken}):
            answer = aws.client(settings, "dynamodb").update_item(
                TableName=settings.table,
                Key={"pk": {"S": f"{kind}:{name}"}},
                UpdateExpression="SET claimed = :now, expires = :end ADD claims :one",
                ConditionExpression="attribute_not_exists(claimed) OR claimed <= :before",
                ExpressionAttributeValues={
                    ":now": {"N": str(now.timestamp())},
                    ":before": {"N": str(now.timestamp() - again_after_s)},
                    ":end": {"N": str(int(now.timestamp() + keep_s))},
                    ":one": {"N": "1"},
                },
                ReturnValues="UPDATED_NEW",
            )
    except _Taken:
        return 0
    return int(answer["Attributes"]["claims"]["N"])


def existing(settings: Settings, keys: list[str]) -> set[str]:
    """Return those keys of the jobs table that have a row.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    options = {"ProjectionExpression": "pk", "ConsistentRead": True}
    parts = (keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH))
    return {key for part in parts for key in _batch(settings, "looking for jobs", part, **options)}


def every(
    settings: Settings,
    kind: str,
    since: datetime | None = None,
    *,
    before: datetime | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield all rows of a kind, or those written after `since` or `before`, newest first.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    after: dict[str, Any] | None = None
    while True:
        bodies, after = _page(settings, kind, since, before, after)
        yield from bodies
        if not after:
            return


def _page(
    settings: Settings,
    kind: str,
    since: datetime | None,
    before: datetime | None,
    after: dict[str, Any] | None,
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return rows of a kind, newest first, and where the next page starts."""
    edge = before or since
    created = rows.iso(edge) if edge else "0"
    with aws.translated(f"listing {kind}"):
        index = aws.client(settings, "dynamodb").query(
            TableName=settings.table,
            IndexName="newest",
            KeyConditionExpression=f"feed = :feed AND created {'<' if before else '>'} :edge",
            ExpressionAttributeValues={":feed": {"S": kind}, ":edge": {"S": created}},
            ScanIndexForward=False,
            Limit=_BATCH,
            **({"ExclusiveStartKey": after} if after else {}),
        )
    keys = [row["pk"]["S"] for row in index["Items"]]
    found = _batch(settings, f"listing {kind}", keys) if keys else {}
    return [_body(found[key]) for key in keys if key in found], index.get("LastEvaluatedKey")


def _batch(settings: Settings, what: str, keys: list[str], **options: Any) -> dict[str, Any]:
    """Read those of up to 100 rows that are there, by their keys.

    DynamoDB may answer for a part of the keys alone, where it throttles or the rows are large.

    Raises:
        ServiceUnavailable: The table could not be reached, or still left rows out in the end.
    """
    wanted: Any = {settings.table: {"Keys": [{"pk": {"S": key}} for key in keys], **options}}
    found: dict[str, Any] = {}
    for rest_s in (0.0, *_RESTS_S):
        time.sleep(rest_s)
        with aws.translated(what):
            answer = aws.client(settings, "dynamodb").batch_get_item(RequestItems=wanted)
        found |= {row["pk"]["S"]: row for row in answer["Responses"].get(settings.table, [])}
        wanted = answer.get("UnprocessedKeys")
        if not wanted:
            return found
    raise ServiceUnavailable(f"DynamoDB left rows out while {what}.")


def _body(row: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(row["body"]["S"])
    return body
