"""A real moto server over HTTP, and settings provisioned on it."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

import pytest

from shared import queues, sqs_transport
from shared.settings import Settings
from workers.provision import provision

for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    os.environ[name] = "testing"
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "GUARDIAN_ENDPOINT_URL"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def endpoint_url():
    """Where the session's moto server answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=2).close()
            break
        except (urllib.error.URLError, ConnectionError, TimeoutError):
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
def sending(aws_settings, monkeypatch):
    """Let this process send to the installation of the test, as one of its processes would."""

    def forget():
        queues.app.pool.force_close_all()
        queues.app.__dict__.pop("amqp", None)
        queues._configured.cache_clear()

    monkeypatch.setattr(sqs_transport, "get_settings", lambda: aws_settings)
    forget()
    queues.configure(aws_settings)
    yield
    forget()
