"""A proxy before the stand-in for AWS that notes which process makes which call.

Each process signs with its own name as access key, so the name is in every request.
"""

import http.client
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

_TARGETS = {"AmazonSQS": "sqs", "DynamoDB_20120810": "dynamodb"}
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


class RecordingProxy(ThreadingHTTPServer):
    """Forwards to one address; `calls` holds (access key, action, resource)."""

    daemon_threads = True

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.calls = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._note(body)
        target = self.server.target
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        headers["Host"] = target.netloc
        try:
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP | {"content-length", "server", "date"}:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True
        finally:
            connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # http.server's names

    def _note(self, body):
        signed = self.headers.get("Authorization", "")
        found = re.search(r"Credential=([^/]+)/", signed) or re.search(
            r"X-Amz-Credential=([^/%]+)", self.path
        )
        who = found[1] if found else "anonymous"
        service, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
        if service:
            for name in _resources(_TARGETS[service], body.decode()):
                self.server.calls.add((who, f"{_TARGETS[service]}:{operation}", name))
            return
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        action = _s3_action(self.command, key, parse_qs(parts.query, keep_blank_values=True))
        where = f"{bucket}/{key.partition('/')[0]}" if key else bucket
        self.server.calls.add((who, action, where))

    def log_message(self, *_):
        """The calls are the log."""


def _resources(service, body):
    if service == "dynamodb":
        tables = re.findall(r'"TableName":\s*"([^"]+)"', body)
        tables += re.findall(r'"RequestItems":\s*\{\s*"([^"]+)"', body)
        indexes = re.findall(r'"IndexName":\s*"([^"]+)"', body)
        return [f"{tables[0]}/index/{index}" for index in indexes] or [tables[0]]
    url = re.search(r'"QueueUrl":\s*"([^"]+)"', body)
    return [url[1].rpartition("/")[2] if url else re.search(r'"QueueName":\s*"([^"]+)"', body)[1]]


def _s3_action(method, key, query):
    """Name the right that a request needs; several operations share one."""
    if method in ("GET", "HEAD"):
        if not key:
            return "s3:ListBucketVersions" if "versions" in query else "s3:ListBucket"
        if "uploadId" in query:
            return "s3:ListMultipartUploadParts"
        return "s3:GetObjectVersion" if "versionId" in query else "s3:GetObject"
    if method == "DELETE" and "uploadId" in query:
        return "s3:AbortMultipartUpload"
    if method == "DELETE" or (method == "POST" and "delete" in query):
        return "s3:DeleteObjectVersion" if "versionId" in query else "s3:DeleteObject"
    return "s3:PutObject"
