"""An installation of its own with intake at hand, and a proxy that makes AWS fail."""

import asyncio
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote_plus, urlsplit

import httpx
import pytest

from shared import aws, depths, objects
from shared.jobs import JobStore
from shared.queues import queue_url
from shared.records import Upload
from workers import local
from workers.intake.service import _Intake

PATIENCE_S = 60
SLOW_WORKER = Path(__file__).parents[1] / "data" / "programs" / "slow_worker.py"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class House:
    """One installation, seen from outside: what is put in, what waits, what became of it."""

    def __init__(self, settings):
        self.settings = settings
        self.s3 = aws.client(settings, "s3")
        self.sqs = aws.client(settings, "sqs")
        self.store = JobStore(settings)
        self.bucket = settings.uploads_bucket
        self.url = queue_url(settings, settings.queue("uploads"))

    def put(self, key: str, content: bytes) -> Upload:
        """Upload an object; the stand-in sends its event."""
        answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return objects.as_upload(self.bucket, key, answer)

    def record(self, key, bucket=None, **item):
        return {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "bucket": {"name": bucket or self.bucket},
                "object": {"key": quote_plus(key), **item},
            },
        }

    def send(self, *records, text=None) -> str:
        """Send one message to the uploads queue, by hand; its body."""
        body = text or json.dumps({"Records": records})
        self.tell(body)
        return body

    def tell(self, body: str) -> str:
        """Send one message to the uploads queue; its id."""
        answer = self.sqs.send_message(QueueUrl=self.url, MessageBody=body)
        return answer["MessageId"]

    def purge(self) -> None:
        """Forget the events of the stand-in."""
        self.sqs.purge_queue(QueueUrl=self.url)

    def depth(self, name="uploads"):
        full = self.settings.queue(name)
        return next(row for row in depths.measure(self.settings) if row.name == full)

    def is_empty(self) -> bool:
        row = self.depth()
        return row.visible + row.in_flight + row.delayed == 0

    def sent(self):
        """How many audio and video tasks wait."""
        return self.depth("audio").visible, self.depth("video").visible

    def jobs(self):
        return {row.key: row for row in self.store.newest(100)}

    def dead_letters(self):
        """What lies in the dead-letter queue of the uploads, with its cause."""
        url = queue_url(self.settings, self.settings.dead_letter_queue("uploads"))
        answer = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return {
            message["Body"]: message["MessageAttributes"]["code"]["StringValue"]
            for message in answer.get("Messages", [])
        }

    @asynccontextmanager
    async def running(self, **changed):
        """Run intake in this process with changed settings; leaving stops it as SIGTERM would."""
        intake = _Intake(self.settings.model_copy(update=changed))
        task = asyncio.create_task(intake.run())
        try:
            yield intake
        finally:
            intake._stop.set()
            await asyncio.wait_for(task, PATIENCE_S)

    async def drain(self, **changed) -> None:
        """Let intake work until its queue is empty."""
        async with self.running(**changed):
            await self.until(self.is_empty)

    async def until(self, condition) -> None:
        end = time.monotonic() + PATIENCE_S
        while not await asyncio.to_thread(condition):
            assert time.monotonic() < end, "waited in vain"
            await asyncio.sleep(0.05)


@pytest.fixture
def house(aws_settings, sending):
    return House(aws_settings.model_copy(update={"metrics_port": 0}))


@pytest.fixture
def start(settings, tmp_path):
    """Start processes with changed settings, slow workers by default; end those that still run.

    Each writes to `process-0.log` and so on.
    """
    running = []

    def start_one(*command, slow_s=90, **changed):
        environment = {
            **os.environ,
            "GUARDIAN_ENDPOINT_URL": settings.endpoint_url,
            "GUARDIAN_PREFIX": settings.prefix,
            "GUARDIAN_VISIBILITY_TIMEOUT_S": str(settings.visibility_timeout_s),
            "GUARDIAN_RECEIVE_WAIT_S": "1",
            "GUARDIAN_METRICS_PORT": "0",
            "GUARDIAN_WORK_DIR": str(tmp_path / "work"),
            "PYTHONPATH": str(SLOW_WORKER.parent),
            "TMPDIR": str(tmp_path),
            "SLOW_NOTES": str(tmp_path / "notes"),
            "SLOW_S": str(slow_s),
            **{f"GUARDIAN_{name}": str(value) for name, value in changed.items()},
        }
        with (tmp_path / f"process-{len(running)}.log").open("w") as log:
            child = subprocess.Popen(
                [sys.executable, *(command or [str(SLOW_WORKER)])],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        running.append(child)
        return child

    yield start_one
    for child in running:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@pytest.fixture
def notes(tmp_path):
    """Read what slow workers have noted."""
    path = tmp_path / "notes"
    return lambda: path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def depth(settings):
    """Measure a queue; that of the slow workers if no other is named."""
    return lambda name="aggregate": House(settings).depth(name)


_OWN_HEADERS = {"connection", "transfer-encoding", "content-length", "date", "server"}


def _proxy(endpoint_url, fails):
    behind = urlsplit(endpoint_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = fails(self.headers.get("X-Amz-Target") or f"S3.{self.command}")
            if fault and fault not in ("cut", "spoilt"):
                self.reply(503, {}, b"")
                return
            connection = http.client.HTTPConnection(behind.hostname, behind.port, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in _OWN_HEADERS}
            if self.command == "HEAD":
                kept["Content-Length"] = answer.getheader("Content-Length", "0")
            content = answer.read()
            content = bytes(len(content)) if fault == "spoilt" else content
            self.reply(answer.status, kept, content, cut=fault == "cut")
            connection.close()

        def reply(self, status, headers, body, cut=False):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection |= cut

        def __getattr__(self, name):
            if name.startswith("do_"):
                return self.forward
            raise AttributeError(name)

        def log_message(self, *_):
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def failing(house, monkeypatch):
    """A context whose URL is a way to AWS that answers 503 where `fails(action)` says so.

    Where it says `cut`, the answer breaks off in its middle; `spoilt`, it is all zeros.
    The action is `S3.HEAD` and so on, or the target of a JSON call (`AmazonSQS.ReceiveMessage`).
    botocore's own retries are off.
    """
    once = aws._CONFIG["retries"] | {"total_max_attempts": 1}
    monkeypatch.setitem(aws._CONFIG, "retries", once)

    @contextmanager
    def through(fails):
        server = _proxy(house.settings.endpoint_url, fails)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()

    return through


@pytest.fixture(scope="session")
def start_console(wait_for):
    """Run `guardian console` as a process of its own: `with start_console(settings) as url`."""

    @contextmanager
    def started(settings, **variables):
        port = local.free_port()
        console = subprocess.Popen(
            [Path(sys.executable).with_name("guardian"), "console", "--port", str(port)],
            env={**os.environ, **local.as_environment(settings), **variables},
        )
        url = f"http://127.0.0.1:{port}"

        def is_ready():
            assert console.poll() is None, "the console has ended"
            try:
                return httpx.get(f"{url}/ready", timeout=30).status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_for(is_ready, 300)
            yield url
        finally:
            console.terminate()
            assert console.wait(60) in (0, -signal.SIGTERM)

    return started


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium")
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no chromium here")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # slow

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()
