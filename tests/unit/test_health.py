"""The small HTTP thread of workers: where it listens, and whom it waits for when it ends."""

import socket
import time
import urllib.request
from threading import Timer

import pytest

from workers import health

pytestmark = pytest.mark.unit


@pytest.fixture
def start():
    running = []

    def start_one(host="127.0.0.1"):
        running.append(health.start(0, lambda: True, host))
        return running[-1]

    yield start_one
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(start):
    return start()


def ask(server, path, host="127.0.0.1", method="GET"):
    url = f"http://{host}:{server.server_port}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
        return answer.read()


def read_metrics(server):
    ask(server, "/metrics")
    assert server.metrics_read.wait(10)  # it counts when all is sent


def waited_s(server, patience_s):
    began = time.monotonic()
    server.wait_for_reader(patience_s)
    return time.monotonic() - began


def test_nobody_is_waited_for_where_nobody_reads_the_metrics(server):
    ask(server, "/health")
    ask(server, "/ready")

    assert waited_s(server, 60) < 1


def test_whoever_reads_the_metrics_reads_them_once_more(server):
    read_metrics(server)
    again = Timer(0.3, ask, (server, "/metrics"))
    again.start()

    assert 0.2 < waited_s(server, 60) < 30
    again.join()


def test_a_reader_who_stays_away_is_not_waited_for_without_end(server):
    read_metrics(server)

    assert 0.2 < waited_s(server, 0.3) < 30


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_a_load_balancer_may_ask_for_the_status_alone(server, path):
    assert ask(server, path, method="HEAD") == b""


def has_version_6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_version_6(), reason="needs a machine with addresses of version 6")
def test_all_addresses_of_version_6_are_those_of_version_4_too(start):
    server = start("::")

    for host in ("127.0.0.1", "[::1]"):
        assert b"alive" in ask(server, "/health", host)
