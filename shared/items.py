"""Small rows beside the jobs: pauses, audit entries and the presence of workers.

They live in the jobs table, so that nothing more has to be provisioned. Their keys start with the
kind and a colon, which no job id does, and lists come from the index `newest`, never from a scan.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from shared import aws
from shared.settings import Settings

#: DynamoDB reads at most this many items a BatchGetItem.
_BATCH = 100


def put(
    settings: Settings, kind: str, name: str, body: dict[str, Any], now: datetime, keep_s: float
) -> None:
    """Write one row; it expires by itself.

    Args:
        settings: Which installation.
        kind: The list that the row belongs to.
        name: Its name in that list; a row of the same name is replaced.
        body: What it says; anything that JSON can say.
        now: Its time; lists are ordered by it.
        keep_s: Seconds until it may be forgotten.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    item = {
        "pk": {"S": f"{kind}:{name}"},
        "feed": {"S": kind},
        "created": {"S": now.astimezone(UTC).isoformat(timespec="microseconds")},
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


def delete(settings: Settings, kind: str, name: str) -> None:
    """Remove one row; one that is not there is fine too.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    with aws.translated(f"removing {kind}"):
        aws.client(settings, "dynamodb").delete_item(
            TableName=settings.table, Key={"pk": {"S": f"{kind}:{name}"}}
        )


def newest(
    settings: Settings, kind: str, limit: int = _BATCH, since: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a kind, newest first, at most `limit` and 100.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    dynamodb = aws.client(settings, "dynamodb")
    after = since.astimezone(UTC).isoformat(timespec="microseconds") if since else "0"
    with aws.translated(f"listing {kind}"):
        index = dynamodb.query(
            TableName=settings.table,
            IndexName="newest",
            KeyConditionExpression="feed = :feed AND created > :after",
            ExpressionAttributeValues={":feed": {"S": kind}, ":after": {"S": after}},
            ScanIndexForward=False,
            Limit=min(limit, _BATCH),
        )
        keys = [{"pk": row["pk"]} for row in index["Items"]]
        if not keys:
            return
        answer = dynamodb.batch_get_item(RequestItems={settings.table: {"Keys": keys}})
    found = {row["pk"]["S"]: row for row in answer["Responses"][settings.table]}
    for key in keys:
        row = found.get(key["pk"]["S"])
        if row:
            yield _body(row)


def _body(row: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(row["body"]["S"])
    return body
