"""A small HTTP thread for /health, /ready and /metrics, for processes that serve nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from threading import Event, Thread

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from workers import pool_metrics

#: Seconds that a client may keep a thread waiting for a piece of its request.
_PATIENCE_S = 5.0
#: A process that has not turned to its queue for this long, beside its longest job, is stuck:
#: whatever AWS answers, or if it does not, a receive is over in minutes.
STUCK_S = 1800.0


class Server(ThreadingHTTPServer):
    """Knows whether somebody reads the metrics."""

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        """Listen at an address."""
        self.metrics_read = Event()
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        super().__init__(address, handler)

    def wait_for_reader(self, patience_s: float) -> None:
        """Wait until the metrics have been read once more; not where nobody reads them."""
        if self.metrics_read.is_set():
            self.metrics_read.clear()
            self.metrics_read.wait(patience_s)


def start(
    port: int,
    ready: Callable[[], bool],
    host: str = "127.0.0.1",
    alive: Callable[[], bool] = lambda: True,
) -> Server:
    """Serve from a daemon thread; `ready` is asked at each /ready, and `alive` at each /health.

    Returns:
        The server; its `server_port` tells the port where 0 was asked for.

    Raises:
        OSError: The port is taken.
    """
    probes: dict[str, tuple[Callable[[], bool], str, str]] = {
        "/health": (alive, "alive", "stuck"),
        "/ready": (ready, "ready", "not_ready"),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_S
        server_version, sys_version = "guardian", ""

        def do_GET(self) -> None:  # http.server's name
            if self.path in probes:
                asked, yes, no = probes[self.path]
                well = asked()
                self._answer(200 if well else 503, {"status": yes if well else no})
            elif self.path == "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, metrics())
                if self.command == "GET":  # a HEAD has read nothing
                    server.metrics_read.set()
            else:
                self._answer(404, {"status": "not_found"})

        def do_HEAD(self) -> None:  # as load balancers ask
            self.do_GET()

        def _answer(self, status: int, body: dict[str, str]) -> None:
            self._send(status, "application/json", json.dumps(body).encode())

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds; they are not logged."""

    server = Server((host, port), Handler)
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def metrics() -> bytes:
    """Render all metrics, those of pool children included."""
    if pool_metrics.VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped upstream
    return generate_latest(registry)
