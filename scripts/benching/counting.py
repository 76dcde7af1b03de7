"""A way to the stand-in for AWS that counts the calls of each process by kind."""

from __future__ import annotations

import http.client
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "server", "date"}
#: The kind of a small row beside the jobs, which its key begins with.
_KIND = re.compile(rb'"pk": ?{"S": ?"([a-z]+):')


class CountingWay(ThreadingHTTPServer):
    """Forwards to one address and counts.

    Attributes:
        calls: How often who made which call; who is the access key, a poll that brought nothing
            is a kind of its own.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def note(self, who: str, what: str) -> None:
        """Count one call."""
        with self.lock:
            self.calls[who, what] += 1

    def taken(self) -> Counter[tuple[str, str]]:
        """Return what was counted since the last time, and begin anew."""
        with self.lock:
            calls, self.calls = self.calls, Counter()
        return calls

    def close(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()


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
        if not service:
            what = f"S3 {self.command}"
        elif service.startswith("DynamoDB"):
            kind = _KIND.search(body)
            what = f"DynamoDB {operation}{f' ({kind[1].decode()})' if kind else ''}"
        else:
            empty = operation == "ReceiveMessage" and b"ReceiptHandle" not in content
            what = f"SQS {operation}{' (empty)' if empty else ''}"
        self.server.note(who, what)

    def handle(self) -> None:
        """Let callers leave as they like."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815  # http.server's names

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
