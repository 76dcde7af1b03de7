"""What a message of the uploads queue says: uploads to look at, and records to ignore, counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from shared.errors import UnparsableEvent
from shared.records import Upload

#: Wrappings inside wrappings that are opened: SNS around EventBridge is two.
MAX_DEPTH = 4
_MAJOR_VERSION = "2"
_CREATED = "ObjectCreated:"
_EVENTBRIDGE_CREATED = "Object Created"
#: Longest key (Amazon S3 user guide, "Object key names").
_MAX_KEY_BYTES = 1024
#: No object is larger than 2^63 bytes, and no table takes a larger number.
_MAX_SIZE_BITS = 63
Document = dict[str, Any]


@dataclass(frozen=True)
class Parsed:
    """The content of one message.

    Attributes:
        uploads: Object versions that were created.
        ignored: Records that are none of our business, by event type.
    """

    uploads: tuple[Upload, ...]
    ignored: Counter[str] = field(default_factory=Counter)


def parse(body: str) -> Parsed:
    """Read an S3 notification, plain, wrapped by SNS, or as an EventBridge event.

    Sources: "Event message structure" (Amazon S3 user guide), "Object-level events" (EventBridge),
    "SNS message formats". Keys of classic notifications are form-encoded, EventBridge's are not.

    Args:
        body: Body of the SQS message.

    Returns:
        Uploads and ignored records.

    Raises:
        UnparsableEvent: The body is nothing of that kind; the message says why.
    """
    ignored: Counter[str] = Counter()
    uploads = tuple(_unwrap(_load(body), ignored, MAX_DEPTH))
    return Parsed(uploads, ignored)


def _load(text: str) -> Document:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnparsableEvent("The message is no JSON.") from error
    if not isinstance(document, dict):
        raise UnparsableEvent("The message is no JSON object.")
    return document


def _unwrap(document: Document, ignored: Counter[str], depth: int) -> Iterator[Upload]:
    if depth == 0:
        raise UnparsableEvent("The message is wrapped too often.")
    if isinstance(document.get("Message"), str) and "Records" not in document:
        yield from _unwrap(_load(document["Message"]), ignored, depth - 1)
    elif isinstance(document.get("Records"), list):
        for record in document["Records"]:
            yield from _record(record, ignored, depth)
    elif document.get("Event") == "s3:TestEvent":
        ignored["s3:TestEvent"] += 1
    elif document.get("source") == "aws.s3":
        yield from _eventbridge(document, ignored)
    else:
        raise UnparsableEvent


def _record(record: Any, ignored: Counter[str], depth: int) -> Iterator[Upload]:
    """Read one record; a record may itself be SNS's (as it hands them to functions)."""
    if not isinstance(record, dict):
        raise UnparsableEvent("A record is no JSON object.")
    if isinstance(record.get("Sns"), dict):
        yield from _unwrap(record["Sns"], ignored, depth - 1)
        return
    name = record.get("eventName")
    if record.get("eventSource") != "aws:s3" or not isinstance(name, str):
        raise UnparsableEvent("A record is not from S3.")
    if str(record.get("eventVersion", "2.0")).partition(".")[0] != _MAJOR_VERSION:
        raise UnparsableEvent(f"Event version {record['eventVersion']!r} is not known.")
    name = name.removeprefix("s3:")
    if not name.startswith(_CREATED):
        ignored[name] += 1
        return
    s3 = _mapping(record, "s3")
    upload = _upload(_mapping(s3, "bucket"), _mapping(s3, "object"), encoded=True)
    yield from _unless_folder(upload, ignored)


def _eventbridge(document: Document, ignored: Counter[str]) -> Iterator[Upload]:
    kind = document.get("detail-type")
    if not isinstance(kind, str):
        raise UnparsableEvent("The EventBridge event has no type.")
    if kind != _EVENTBRIDGE_CREATED:
        ignored[kind] += 1
        return
    detail = _mapping(document, "detail")
    upload = _upload(_mapping(detail, "bucket"), _mapping(detail, "object"), encoded=False)
    yield from _unless_folder(upload, ignored)


def _unless_folder(upload: Upload, ignored: Counter[str]) -> Iterator[Upload]:
    """Consoles make folders as empty objects whose key ends with a slash."""
    if upload.key.endswith("/") and not upload.size_bytes:
        ignored["folder"] += 1
    else:
        yield upload


def _mapping(parent: Document, name: str) -> Document:
    child = parent.get(name)
    if not isinstance(child, dict):
        raise UnparsableEvent(f"The event has no {name}.")
    return child


def _upload(bucket: Document, item: Document, *, encoded: bool) -> Upload:
    key, name = item.get("key"), bucket.get("name")
    if not isinstance(key, str) or not isinstance(name, str) or not key or not name:
        raise UnparsableEvent("The event names no object.")
    version = item.get("versionId") or item.get("version-id")
    upload_version = str(version) if version and version != "null" else None
    etag = str(item.get("eTag") or item.get("etag") or "").strip('"')
    sequencer = str(item.get("sequencer") or "")
    try:
        key = unquote_plus(key, errors="strict") if encoded else key
        key_bytes = len(key.encode())
        "".join((name, upload_version or "", etag, sequencer)).encode()
    except UnicodeError as error:  # lone surrogates among them
        raise UnparsableEvent("The event names its object in no UTF-8.") from error
    if key_bytes > _MAX_KEY_BYTES:
        raise UnparsableEvent(f"The key has {key_bytes} bytes; S3 has none longer than 1024.")
    return Upload(
        bucket=name,
        key=key,
        version_id=upload_version,
        etag=etag,
        size_bytes=_size(item.get("size")),
        sequencer=sequencer,
    )


def _size(value: Any) -> int | None:
    """Return a size in bytes, None where the event tells none; S3 itself knows better anyway."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return value if value.bit_length() <= _MAX_SIZE_BITS else None
