"""One Celery worker of the fleet as this process: audio, video or aggregator."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

# Must be set before prometheus_client is imported for the first time: the values of a pool child
# reach the parent through files in this directory.
_METRICS_DIR = Path(
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="guardian-metrics-"))
)

import structlog  # noqa: E402  # see above
from celery.worker import state  # noqa: E402  # see above

from shared import objects, presence, queues, sqs_transport  # noqa: E402  # see above
from shared.models import Registry  # noqa: E402  # see above
from shared.queues import Role  # noqa: E402  # see above
from shared.settings import Settings  # noqa: E402  # see above
from workers import health, lifespan  # noqa: E402  # see above

#: Ports of /health, /ready and /metrics.
PORTS: dict[Role, int] = {"audio": 8000, "video": 8001, "aggregator": 9100}
#: A worker that has received nothing for this many long polls is not ready.
_MISSED_POLLS = 3
_log = structlog.get_logger()


def run(settings: Settings, role: Role) -> int:
    """Consume the role's queue until SIGTERM, and return the exit status.

    Raises:
        SetupError: A model is missing or corrupt, or a queue does not exist.
    """
    registry = Registry(settings.models_dir)
    for name in _models(registry, role):
        registry.verify(name)
    removed = objects.sweep_workspaces(settings)
    if removed:
        _log.warning("removed_leftovers", directories=removed)
    queue = settings.queue(queues.ROLE_QUEUES[role])
    app = queues.configure(settings, role)
    port = PORTS[role] if settings.metrics_port is None else settings.metrics_port
    server = health.start(port, lambda: _is_ready(settings, queue), settings.host)
    worker = app.Worker(
        hostname=f"{role}@{os.uname().nodename}-{os.getpid()}",
        queues=[queue],
        loglevel=settings.log_level.upper(),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    _log.info("worker_starting", role=role, queue=queue, port=server.server_port)
    stop = threading.Event()
    presence.announce(settings, role, _doing, stop, _models(registry, role))
    lifespan.watch(settings, stop)
    if role == "aggregator":
        from workers.aggregator import sweeper  # noqa: PLC0415  # the other roles do not need it

        threading.Thread(target=sweeper.run, args=(settings, stop), daemon=True).start()
    try:
        worker.start()
    finally:
        stop.set()
        server.shutdown()
        shutil.rmtree(_METRICS_DIR, ignore_errors=True)  # figures of a process that is gone
    return int(worker.exitcode or 0)


def _models(registry: Registry, role: Role) -> dict[str, str]:
    """Return the versions of the role's models by name."""
    wanted = "fusion" if role == "aggregator" else role
    return {
        entry.name: entry.version for entry in registry.entries.values() if entry.modality == wanted
    }


def _doing() -> list[str]:
    """Return the ids of the jobs in work."""
    return [str((request.kwargs or {}).get("job_id", "")) for request in state.active_requests]


def _is_ready(settings: Settings, queue: str) -> bool:
    """Busy, or heard from the queue lately."""
    if state.active_requests or state.reserved_requests:
        return True
    heard = sqs_transport.last_receive.get(queue)
    patience_s = _MISSED_POLLS * (settings.receive_wait_s + 10)
    return heard is not None and time.monotonic() - heard < patience_s
