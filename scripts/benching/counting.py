"""A way to the stand-in for AWS that counts the calls of each process by kind, and their units."""

from __future__ import annotations

import base64
import http.client
import json
import math
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "server", "date"}
#: The kind of a small row beside the jobs, which its key begins with.
_KIND = re.compile(rb'"pk": ?{"S": ?"([a-z]+):')
Calls = Counter[tuple[str, str]]


@dataclass
class Counted:
    """What was counted, by who made which call.

    Attributes:
        calls: How often; who is the access key, a poll that brought nothing is a kind of its own.
        units: What they are billed by: calls, but for DynamoDB, see `billed_units`.
    """

    calls: Calls = field(default_factory=Counter)
    units: Counter[tuple[str, str]] = field(default_factory=Counter)


class CountingWay(ThreadingHTTPServer):
    """Forwards to one address and counts."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.counted = Counted()
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def note(self, who: str, what: str, units: int) -> None:
        """Count one call."""
        with self.lock:
            self.counted.calls[who, what] += 1
            self.counted.units[who, what] += units

    def taken(self) -> Counted:
        """Return what was counted since the last time, and begin anew."""
        with self.lock:
            counted, self.counted = self.counted, Counted()
        return counted

    def close(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()


def billed_units(operation: str, body: bytes, content: bytes) -> int:
    """Return the request units that DynamoDB bills for a call of ours.

    A write takes one for each kilobyte of the item as it is after it, and one for its entry in the
    index `newest`, which shows the time of the last write; a consistent read takes one for each
    4 KB (DynamoDB developer guide, "Read and write operations").

    Args:
        operation: Such as `PutItem`.
        body: What was asked.
        content: What was answered.
    """
    asked, answered = json.loads(body), json.loads(content)
    if operation == "GetItem":
        return max(1, math.ceil(item_bytes(answered.get("Item", {})) / 4096))
    item = asked.get("Item") or answered.get("Attributes") or answered.get("Item") or {}
    return max(1, math.ceil(item_bytes(item) / 1024)) + ("feed" in item)


def item_bytes(item: dict[str, Any]) -> int:
    """Return the size of an item: names and values, without the types.

    Source: DynamoDB developer guide, "DynamoDB item sizes and formats".
    """
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "B":
        return len(base64.b64decode(content))
    if kind == "N":
        return len(content) // 2 + 2
    if kind == "L":
        return 3 + sum(1 + _value_bytes(one) for one in content)
    return 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CountingWay
    _onward: http.client.HTTPConnection | None = None

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = self.server.target
        if self._onward is None:
            self._onward = http.client.HTTPConnection(
                target.hostname or "", target.port, timeout=60
            )
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        try:
            self._onward.request(
                self.command, self.path, body=body, headers={**headers, "Host": target.netloc}
            )
            answer = self._onward.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            self._onward.close()
            self._onward = None
            return
        self._note(body, content)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _note(self, body: bytes, content: bytes) -> None:
        signed = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        who = signed[1] if signed else "anonymous"
        service, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
        units = 1
        if not service:
            what = f"S3 {self.command}"
        elif service.startswith("DynamoDB"):
            kind = _KIND.search(body)
            what = f"DynamoDB {operation}{f' ({kind[1].decode()})' if kind else ''}"
            units = billed_units(operation, body, content)
        else:
            empty = operation == "ReceiveMessage" and b"ReceiptHandle" not in content
            what = f"SQS {operation}{' (empty)' if empty else ''}"
        self.server.note(who, what, units)

    def handle(self) -> None:
        """Let callers leave as they like."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815  # http.server's names

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
