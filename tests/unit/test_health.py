"""The small HTTP thread of workers: where it listens, and whom it waits for when it ends."""

import socket
import time
import urllib.error
import urllib.request
from threading import Timer

import pytest

from shared import flags, loading, sqs_transport
from shared.settings import get_settings
from workers import fleet, health

pytestmark = pytest.mark.unit


@pytest.fixture
def start():
    running = []

    def start_one(host="127.0.0.1", **more):
        running.append(health.start(0, lambda: True, host, **more))
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
    assert not server.metrics_read.is_set()  # nobody has read them


def test_a_stuck_process_says_so_and_is_replaced(start):
    with pytest.raises(urllib.error.HTTPError, match="503"):
        ask(start(alive=lambda: False), "/health")


def test_a_worker_is_stuck_that_stays_away_from_its_queue_longer_than_any_job(monkeypatch):
    settings, now = get_settings(), time.monotonic()
    ages = {"waiting": 30, "longest job": settings.job_timeout_s + 900, "stuck": 10_000}
    looks = {name: now - age for name, age in ages.items()}
    monkeypatch.setattr(sqs_transport, "last_look", looks)

    alive = [name for name in ages if fleet._is_alive(settings, name)]
    assert alive == ["waiting", "longest job"]
    monkeypatch.setattr(loading, "unfit", lambda: True)
    assert fleet._is_alive(settings, "stuck")  # its metrics tell of its wrong answers


@pytest.mark.parametrize(
    ("gates", "looked"),
    [([], True), ([lambda: False], False)],
    ids=["one that is told to wait", "one whose models are never loaded"],
)
def test_a_worker_that_turns_to_its_queue_is_not_stuck(monkeypatch, gates, looked):
    settings = get_settings()
    channel = object.__new__(sqs_transport.Channel)
    monkeypatch.setattr(sqs_transport, "gates", gates)
    monkeypatch.setattr(sqs_transport, "_PAUSED_S", 0)
    monkeypatch.setattr(sqs_transport, "last_look", {"q": 0.0})
    monkeypatch.setitem(flags._seen, (settings.table, "q"), (time.monotonic(), True))

    assert channel._receive_message("q") == {}
    assert (sqs_transport.last_look["q"] > 0) == looked


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
