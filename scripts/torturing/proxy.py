"""A way to the stand-in for AWS on which calls fail and messages are doubled, delayed and lost."""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from shared.settings import UPLOADS_PREFIX, get_settings
from torturing.faults import Fault, Weather

#: Shares of messages; an event of S3 is lost for good, a task is never (SQS keeps those).
DOUBLED, DELAYED, LOST = 0.25, 0.25, 0.1
LONGEST_DELAY_S = 5
_TIMEOUT_S = 60
_OWN_HEADERS = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})
_THROTTLED = {
    "AmazonSQS": "RequestThrottled",
    "DynamoDB_20120810": "ProvisionedThroughputExceededException",
}
#: The stand-in goes by the service that a call is signed for; unsigned, it would take it for S3's.
_SIGNED = "AWS4-HMAC-SHA256 Credential=torture/20260101/{region}/sqs/aws4_request"
Answer = tuple[int, list[tuple[str, str]], bytes]


class FaultyWay(ThreadingHTTPServer):
    """Forwards loopback calls to one address in the weather that it is given."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str, weather: Weather, events_queue: str) -> None:
        """Listen on a free port.

        Args:
            target: URL of the stand-in.
            weather: What goes wrong.
            events_queue: Name of the queue whose messages come from S3, not through this way; the
                bucket of the uploads has the same.
        """
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.weather = weather
        self.events_queue = events_queue
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers are killed in the middle of their calls; that is the point."""

    def call(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Make one call to the stand-in itself."""
        connection = http.client.HTTPConnection(
            self.target.hostname or "", self.target.port, timeout=_TIMEOUT_S
        )
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _OWN_HEADERS]
            if method == "HEAD":
                kept.append(("Content-Length", answer.getheader("Content-Length", "0")))
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    def sqs(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Make a call of our own to the queues."""
        headers = {
            "X-Amz-Target": f"AmazonSQS.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Host": self.target.netloc,
            "Authorization": _SIGNED.format(region=get_settings().region),
        }
        body = json.dumps(request).encode()
        answer: dict[str, Any] = json.loads(self.call("POST", "/", headers, body)[2] or b"{}")
        return answer

    def sent(self, body: bytes) -> bytes:
        """Double or delay messages on their way into a queue; return the call as it goes on."""
        request = json.loads(body)
        for message in request.get("Entries", [request]):
            if self.weather.happens("tasks_doubled", DOUBLED):
                copy = {name: value for name, value in message.items() if name != "Id"}
                delay_s = self.weather.delay_s(LONGEST_DELAY_S)
                url = request["QueueUrl"]
                self.sqs("SendMessage", {**copy, "QueueUrl": url, "DelaySeconds": delay_s})
            if self.weather.happens("tasks_delayed", DELAYED):
                message["DelaySeconds"] = self.weather.delay_s(LONGEST_DELAY_S)
        return json.dumps(request).encode()

    def received(self, asked: bytes, answer: Answer) -> Answer:
        """Shuffle what comes out of a queue; double, delay and lose what S3 has put into it."""
        status, headers, content = answer
        url = json.loads(asked)["QueueUrl"]
        document = json.loads(content) if status == http.HTTPStatus.OK else {}
        messages = document.get("Messages", [])
        if not messages or not self.weather.stormy:
            return answer
        if url.endswith(f"/{self.events_queue}"):
            messages = [message for message in messages if self._arrives(url, message)]
        random.Random(len(content)).shuffle(messages)
        document["Messages"] = messages
        return status, headers, json.dumps(document).encode()

    def _arrives(self, url: str, message: dict[str, Any]) -> bool:
        """Tell whether an event arrives now; a copy may come later, with it or in its place."""
        copy = {"QueueUrl": url, "MessageBody": message["Body"]}
        if self.weather.happens("events_doubled", DOUBLED):
            delay_s = self.weather.delay_s(LONGEST_DELAY_S)
            self.sqs("SendMessage", {**copy, "DelaySeconds": delay_s})
        delayed = self.weather.happens("events_delayed", DELAYED)
        if delayed:
            delay_s = self.weather.delay_s(LONGEST_DELAY_S)
            self.sqs("SendMessage", {**copy, "DelaySeconds": delay_s})
        elif not (
            self._is_looked_for(message["Body"]) and self.weather.happens("events_lost", LOST)
        ):
            return True
        self.sqs("DeleteMessage", {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]})
        return False

    def _is_looked_for(self, event: str) -> bool:
        """Tell whether the sweeper finds the upload of an event that is lost: one of ours."""
        try:
            (record,) = json.loads(event)["Records"]
            bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
        except (ValueError, KeyError, TypeError):
            return False
        return bucket == self.events_queue and unquote_plus(key).startswith(UPLOADS_PREFIX)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyWay

    def _forward(self) -> None:
        body = self._body()
        fault = self.server.weather.fault()
        if fault in ("cut", "broken_off"):
            self._break_off()
        elif fault in ("error", "throttle"):
            self._refuse(fault)
        else:
            answer = self._answer(body)
            if fault == "lost_answer" or self.server.weather.is_cut:
                self._break_off()
            else:
                self._send(*answer, half=fault == "half_answer")

    def _answer(self, body: bytes) -> Answer:
        operation = self.headers.get("X-Amz-Target", "")
        if operation in ("AmazonSQS.SendMessage", "AmazonSQS.SendMessageBatch"):
            body = self.server.sent(body)
        headers = {name: value for name, value in self.headers.items() if name != "Content-Length"}
        answer = self.server.call(self.command, self.path, headers, body)
        if operation == "AmazonSQS.ReceiveMessage":
            answer = self.server.received(body, answer)
        return answer

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _refuse(self, fault: Fault) -> None:
        service = self.headers.get("X-Amz-Target", "").partition(".")[0]
        json_type = [("Content-Type", "application/x-amz-json-1.0")]
        if not service:
            code = "SlowDown" if fault == "throttle" else "InternalError"
            content = f"<Error><Code>{code}</Code><Message>torture</Message></Error>".encode()
            self._send(503 if fault == "throttle" else 500, [], content)
        elif fault == "throttle":
            content = json.dumps({"__type": _THROTTLED[service], "message": "torture"}).encode()
            self._send(400, json_type, content)
        else:
            self._send(500, json_type, b'{"__type": "InternalServerError"}')

    def _send(
        self, status: int, headers: list[tuple[str, str]], content: bytes, *, half: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD" or not any(name == "Content-Length" for name, _ in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if half else content)
        self.close_connection |= half

    def _break_off(self) -> None:
        """Reset the connection without an answer."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815  # http.server's names

    def log_message(self, *_: object) -> None:
        """The counts of the weather are the log."""
