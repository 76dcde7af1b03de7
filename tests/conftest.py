"""A real moto server over HTTP, and settings provisioned on it."""

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from shared import queues
from shared.models import PACKAGED, Registry
from shared.settings import Settings
from workers.local import free_port
from workers.provision import provision

for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    os.environ[name] = "testing"
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "GUARDIAN_ENDPOINT_URL"):
    os.environ.pop(name, None)
if "PYTEST_XDIST_WORKER" in os.environ:
    # Coverage is of the tests' own processes: their hundreds of children would take a third longer.
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        del os.environ[name]


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before the clock of pytest-timeout starts
def pytest_runtest_protocol(item):
    """Let a test marked `alone` run while the other processes of pytest-xdist wait."""
    with Path(__file__).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        return (yield)


@pytest.fixture(scope="session")
def wait_for():
    """Wait until something holds, and tell for how many seconds: `wait_for(condition, at_most)`."""
    return _wait_for


def _wait_for(condition, at_most=100.0):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < at_most, "waited in vain"
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture(scope="session")
def endpoint_url():
    """Where the session's moto server answers."""
    port = free_port()
    command = [sys.executable, "-m", "workers.standin", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=2).close()
            break
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert server.poll() is None, "the stand-in ended"
            assert time.monotonic() < end, "the stand-in did not start"
            time.sleep(0.1)
    yield url
    server.terminate()
    server.wait(10)


@pytest.fixture
def aws_settings(endpoint_url, tmp_path):
    """Settings of an installation of its own: buckets, queues and table are there."""
    settings = Settings(
        prefix=f"t{uuid.uuid4().hex[:10]}",
        endpoint_url=endpoint_url,
        work_dir=tmp_path / "work",
        state_dir=tmp_path / "state",
        receive_wait_s=1,
    )
    provision(settings)
    return settings


@pytest.fixture
def sending(aws_settings):
    """Let this process send to the installation of the test, as one of its processes would."""

    def forget():
        queues.app.pool.force_close_all()
        queues.app.__dict__.pop("amqp", None)
        queues._configured.cache_clear()

    forget()
    queues.configure(aws_settings)
    yield
    forget()


@pytest.fixture(scope="session")
def write_set():
    """Write a set with the packaged voice detector, calibrated otherwise and of version 9.9.9."""
    return _write_set


def _write_set(directory, offset):
    name = "voice-detector"
    entry = Registry().entry(name)
    (directory / entry.file).symlink_to(PACKAGED / entry.file)
    table = {key: value for key, value in vars(entry).items() if isinstance(value, str)}
    del table["name"]
    params = {**entry.params, "offset": offset}
    tables = {name: {**table, "version": "9.9.9"}, f"{name}.params": params}
    lines = []
    for title, rows in tables.items():
        lines += [f"[{title}]", *(f"{key} = {json.dumps(value)}" for key, value in rows.items())]
    (directory / "models.toml").write_text("\n".join(lines))
    return directory


class Served:
    """An app on a port of its own, in a thread."""

    def __init__(self, app):
        import uvicorn  # noqa: PLC0415  # slow

        from shared.guards import PatientProtocol  # noqa: PLC0415  # slow
        from shared.web import Server  # noqa: PLC0415  # slow

        config = uvicorn.Config(app, port=0, log_config=None, ws="none", http=PatientProtocol)
        self.server = Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        import httpx  # noqa: PLC0415  # slow

        self.thread.start()
        end = time.monotonic() + 30
        while not self.server.started and time.monotonic() < end:
            time.sleep(0.02)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        self.client.server = self.server
        return self.client

    def __exit__(self, *_):
        self.client.close()
        self.server.should_exit = True
        self.thread.join(30)


@pytest.fixture(scope="session")
def serve():
    """Serve an app on a port of its own: `with serve(app) as client`."""
    return Served


@pytest.fixture(scope="session")
def explore():
    """Call what an OpenAPI document describes, and list what goes against it."""
    return _explore


def _explore(url, examples=12, skip=""):
    """Call every operation with generated input, and return what went against the document."""
    import schemathesis  # noqa: PLC0415  # slow
    from hypothesis import HealthCheck, Phase, given, seed  # noqa: PLC0415  # slow
    from hypothesis import settings as configured  # noqa: PLC0415  # slow
    from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: PLC0415  # slow

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", timeout=30)
    if skip:
        schema = schema.exclude(path=skip)
    failures = []
    for operation in schema.get_all_operations():

        @seed(8)
        @configured(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.ok().as_strategy())
        def check(case):
            try:
                # a file that fits the document may still be no recording
                case.call_and_validate(timeout=30, excluded_checks=[positive_data_acceptance])
            except* AssertionError as group:
                failures.extend(f"{case.operation.label}: {one}" for one in group.exceptions)

        check()
    return failures
