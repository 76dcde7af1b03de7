"""One row a job in DynamoDB: conditional writes that return the row, whichever way they went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from shared import aws, rows
from shared.errors import UnknownJob
from shared.records import Job
from shared.settings import Settings


@dataclass(frozen=True)
class Written:
    """What a conditional write found.

    Attributes:
        job: The job after the write, or as it stands where the condition failed.
        applied: Whether this very call changed it.
    """

    job: Job
    applied: bool

    @property
    def both_halves(self) -> bool:
        """Whether the job has all its evidence."""
        return not self.job.missing


class Table:
    """The rows of jobs; safe to share between threads.

    Every method raises `ServiceUnavailable` where the table cannot be reached.
    """

    def __init__(self, settings: Settings) -> None:
        """Take the table's name and where DynamoDB is from the settings."""
        self._name = settings.table
        self._dynamodb = aws.client(settings, "dynamodb")

    def put(self, item: dict[str, Any], *, over: Job | None = None) -> Written:
        """Write a new row, keyed by its `pk`, unless there is one other than that of `over`."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if over:
            condition = {
                "ConditionExpression": "updated = :seen",
                "ExpressionAttributeValues": rows.encode({":seen": rows.iso(over.updated_at)}),
            }
        try:
            self._call(
                "put_item",
                Item=rows.encode(item),
                **condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except _ConditionFailed as failed:
            return Written(rows.job(failed.item or self.get(item["pk"])), applied=False)
        return Written(rows.job(item), applied=True)

    def update(
        self,
        job_id: str,
        expression: str,
        values: dict[str, Any],
        now: datetime,
        condition: str = "",
    ) -> Written:
        """Change a row that exists, if the condition holds.

        Args:
            job_id: The job.
            expression: SET and REMOVE; `#status` and `#error` stand for reserved words.
            values: What the expressions refer to.
            now: Bound to `:now`.
            condition: What must hold besides.

        Raises:
            UnknownJob: There is no such row.
        """
        guard = "attribute_exists(pk)" + (f" AND ({condition})" if condition else "")
        values = {**values, ":now": rows.iso(now)}
        used = {"#status": "status", "#error": "error"}
        names = {name: real for name, real in used.items() if name in expression + guard}
        request: dict[str, Any] = {
            "Key": rows.encode({"pk": job_id}),
            "UpdateExpression": expression,
            "ConditionExpression": guard,
            "ExpressionAttributeValues": rows.encode(values),
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if names:
            request["ExpressionAttributeNames"] = names
        try:
            answer = self._call("update_item", **request)
        except _ConditionFailed as failed:
            return Written(rows.job(failed.item or self.get(job_id)), applied=False)
        return Written(rows.job(rows.decode(answer["Attributes"])), applied=True)

    def get(self, job_id: str) -> dict[str, Any]:
        """Read a row as it is now.

        Raises:
            UnknownJob: There is none.
        """
        if not job_id:  # which DynamoDB refuses to look for
            raise UnknownJob("The id of the job is empty.")
        answer = self._call("get_item", Key=rows.encode({"pk": job_id}), ConsistentRead=True)
        if "Item" not in answer:
            raise UnknownJob(f"There is no job {job_id!r}.")
        return rows.decode(answer["Item"])

    def delete(self, job_id: str) -> None:
        """Remove a row, if it is there."""
        self._call("delete_item", Key=rows.encode({"pk": job_id}))

    def due(self, part: str, before: int, page: int) -> Iterator[str]:
        """Yield jobs of one partition of the index `pending`, oldest first.

        Args:
            part: The partition.
            before: Seconds since 1970 before which they are due.
            page: How many are read at a time.
        """
        request: dict[str, Any] = {
            "IndexName": "pending",
            "KeyConditionExpression": "pending = :part AND due < :before",
            "ExpressionAttributeValues": rows.encode({":part": part, ":before": before}),
            "Limit": page,
        }
        while True:
            answer = self._call("query", **request)
            yield from (rows.decode(row)["pk"] for row in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        with aws.translated("using the jobs table"):
            try:
                answer: dict[str, Any] = getattr(self._dynamodb, operation)(
                    TableName=self._name, **request
                )
            except ClientError as error:
                if aws.error_code(error) == aws.CONDITION_FAILED:
                    raise _ConditionFailed(error.response.get("Item")) from error
                raise
        return answer


class _ConditionFailed(Exception):  # an answer, not an error
    """The condition of a write did not hold; `item` is the row as it stands."""

    def __init__(self, item: Any) -> None:
        self.item = rows.decode(item) if item else None
        super().__init__()
