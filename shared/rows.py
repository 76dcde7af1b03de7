"""Rows of the jobs table: how a record becomes an item, and an item a record."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import Any, TypeVar

from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from pydantic import BaseModel

from shared.records import (
    MODALITIES,
    Job,
    JobError,
    JobStatus,
    Label,
    Media,
    PartialResult,
    Record,
    Superseded,
    Telling,
    Verdict,
)

_DECODE = TypeDeserializer().deserialize
_ENCODE = TypeSerializer().serialize
_Kind = TypeVar("_Kind", bound=BaseModel)
#: Longer texts are deflated: DynamoDB counts every write by the kilobytes of the whole item.
_DEFLATED_FROM = 1024
#: Attributes that hold a record as JSON.
_RECORDS: dict[str, type[BaseModel]] = {
    "media": Media,
    "audio": PartialResult,
    "video": PartialResult,
    "verdict": Verdict,
    "error": JobError,
    "telling": Telling,
}


class JobSummary(Record):
    """One line of a job list."""

    job_id: str
    status: JobStatus
    bucket: str
    key: str
    size_bytes: int | None = None
    created_at: datetime
    updated_at: datetime
    label: Label | None = None
    probability: float | None = None
    error: JobError | None = None


def encode(row: dict[str, Any]) -> dict[str, Any]:
    """Turn plain values into DynamoDB's typed ones."""
    return {name: _ENCODE(value) for name, value in row.items()}


def decode(row: dict[str, Any]) -> dict[str, Any]:
    """Turn DynamoDB's typed values into plain ones."""
    return {name: _DECODE(value) for name, value in row.items()}


def text(record: BaseModel) -> str | bytes:
    """Return a record as JSON, a long one deflated; floats are not rounded."""
    plain = record.model_dump_json()
    return plain if len(plain) < _DEFLATED_FROM else zlib.compress(plain.encode())


def _record(kind: type[_Kind], stored: str | bytes | Binary) -> _Kind:
    """Build a record of what is stored; fields that a later release added are left out.

    In the middle of a rollout, workers of two releases write halves of the same job.
    """
    if not isinstance(stored, str):
        stored = zlib.decompress(bytes(stored))  # type: ignore[arg-type]  # not in the stubs
    return kind.model_validate_json(stored, extra="ignore")


def iso(moment: datetime) -> str:
    """Format in UTC with fixed width, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _common(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "job_id": item["pk"],
        "status": item["status"],
        "bucket": item["bucket"],
        "key": item["object_key"],
        "size_bytes": item.get("size_bytes"),
        "created_at": item["created"],
        "updated_at": item["updated"],
    }


def job(item: dict[str, Any]) -> Job:
    """Build the record of a table row."""
    records = {name: _record(kind, item[name]) for name, kind in _RECORDS.items() if name in item}
    plain = ("version_id", "etag", "sha256", "aggregation", "decided_on", "report_key", "event")
    return Job(
        **_common(item),
        **{name: item[name] for name in plain if name in item},
        asked_at=item.get("asked"),
        sweeps=int(item.get("sweeps", 0)),
        begun=tuple(name for name in MODALITIES if f"{name}_started" in item),
        fresh=bool(item.get("fresh", False)),
        cache_hit=any(getattr(records.get(name), "analysed_at", None) for name in MODALITIES),
        superseded=tuple(_record(Superseded, one) for one in item.get("superseded", ())),
        expires_at=datetime.fromtimestamp(int(item["expires"]), UTC),
        **records,
    )


def summary(item: dict[str, Any]) -> JobSummary:
    """Build the line of a row of the `newest` index."""
    probability = item.get("probability")
    return JobSummary(
        **_common(item),
        label=item.get("label"),
        probability=None if probability is None else float(probability),
        error=_record(JobError, item["error"]) if "error" in item else None,
    )
