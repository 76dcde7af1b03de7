"""One Celery worker of the fleet as this process: audio, video or aggregator."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime

import structlog
from celery.worker import state

from shared import aws, loading, objects, presence, queues, sandbox, series, sqs_transport
from shared.errors import ReceiptLost, SetupError
from shared.jobs import JobStore
from shared.models import Registry
from shared.queues import Role
from shared.settings import Settings
from workers import ending, health, lifespan, one_child

#: Ports of /health, /ready and /metrics.
PORTS: dict[Role, int] = {"audio": 8000, "video": 8001, "aggregator": 9100}
#: A worker that has received nothing for this many long polls is not ready.
_MISSED_POLLS = 3
#: A worker that ends by itself waits this long for a last read of its metrics: Prometheus reads
#: once a minute, or more often.
_LAST_READ_S = 65.0
_log = structlog.get_logger()


def run(settings: Settings, role: Role) -> int:
    """Consume the role's queue until SIGTERM, and return the exit status.

    Raises:
        SetupError: A model is missing, corrupt or not to be loaded, or a queue does not exist.
    """
    registry = Registry(settings.models_dir)
    for name in _models(registry, role):
        registry.verify(name)
    removed = objects.sweep_workspaces(settings)
    if removed:
        _log.warning("removed_leftovers", directories=removed)
    # known before the first upload, should it be required; the aggregator opens no media
    confined = sandbox.layers("off" if role == "aggregator" else settings.sandbox)
    queue = settings.queue(queues.ROLE_QUEUES[role])
    series.begin(queue, role)
    app = aws.patiently(lambda: queues.configure(settings, role))
    port = PORTS[role] if settings.metrics_port is None else settings.metrics_port
    sqs_transport.last_look[queue] = time.monotonic()
    server = health.start(
        port,
        lambda: _is_ready(settings, queue),
        settings.host,
        alive=lambda: _is_alive(settings, queue),
    )
    worker = app.Worker(
        hostname=f"{role}@{os.uname().nodename}-{os.getpid()}",
        queues=[queue],
        pool=one_child.TaskPool,
        loglevel=settings.log_level.upper(),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    _log.info(
        "worker_starting",
        role=role,
        queue=queue,
        port=server.server_port,
        landlock=confined.landlock,
        namespaces=" ".join(confined.namespaces),
    )
    stop = threading.Event()
    sqs_transport.gates.append(loading.done)
    presence.announce(settings, role, _doing, stop, _models(registry, role))
    sqs_transport.loss_listeners.append(
        lambda job_id, error: _note(JobStore(settings), job_id, error)
    )
    lifespan.watch(settings, stop, ending.Ending(settings).finish)
    if role == "aggregator":
        from workers.aggregator import notices, outbox, sweeper  # noqa: PLC0415  # the others need none

        notices.targets(settings)  # what is not valid there ends the process here
        for work in (sweeper.run, outbox.run):
            threading.Thread(target=work, args=(settings, stop), daemon=True).start()
    try:
        worker.start()
    finally:
        stop.set()
        sqs_transport.delete_done(settings)
        if settings.exit_after_jobs:
            server.wait_for_reader(_LAST_READ_S)
        server.shutdown()
    if cause := loading.failure():
        raise SetupError(f"The models could not be loaded: {cause}")
    return int(worker.exitcode or 0)


def _note(store: JobStore, job_id: str, error: ReceiptLost) -> None:
    store.note(job_id, error, datetime.now(UTC))


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
    """With its models loaded, and busy, or heard from the queue lately."""
    if not loading.done():
        return False
    if state.active_requests or state.reserved_requests:
        return True
    heard = sqs_transport.last_receive.get(queue)
    patience_s = _MISSED_POLLS * (settings.receive_wait_s + 10)
    return heard is not None and time.monotonic() - heard < patience_s


def _is_alive(settings: Settings, queue: str) -> bool:
    """Turned to the queue lately: a job keeps it from that for a while, a hang for good.

    One whose models give wrong answers must not, and stays.
    """
    looked_s = time.monotonic() - sqs_transport.last_look[queue]
    return looked_s < settings.job_timeout_s + health.STUCK_S or loading.unfit()
