"""The small HTTP thread of workers: a process that ends waits for whoever reads its metrics."""

import time
import urllib.request
from threading import Timer

import pytest

from workers import health


@pytest.fixture
def server():
    server = health.start(0, lambda: True)
    yield server
    server.shutdown()
    server.server_close()


def ask(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}") as answer:
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
