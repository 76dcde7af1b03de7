"""Which processes of the fleet are alive, what each does now, and with which models."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from pydantic import Field

from shared import items
from shared.records import Record
from shared.settings import Settings
from shared.telemetry import passing_over, warn_of

#: A process says this often that it is alive.
BEAT_S = 10.0
#: One that has been silent for this long is gone.
GONE_S = 35.0
_KIND = "worker"
_KEEP_S = 3600.0


class Worker(Record):
    """One process of the fleet, as it last described itself."""

    name: str
    role: str
    doing: tuple[str, ...] = ()
    models: dict[str, str] = Field(default_factory=dict)
    started_at: datetime
    seen_at: datetime


def announce(
    settings: Settings,
    role: str,
    doing: Callable[[], list[str]],
    stop: threading.Event,
    models: Mapping[str, str] | None = None,
) -> threading.Thread:
    """Say from a daemon thread that this process is alive, until `stop` is set.

    Args:
        settings: Which installation.
        role: What the process is: intake, audio, video or aggregator.
        doing: Returns the ids of the jobs that it works on now.
        stop: Ends the announcements and takes the last one back.
        models: Versions of the models in use, by name.
    """
    name = f"{os.uname().nodename}-{os.getpid()}"
    started = datetime.now(UTC)

    def beat() -> None:
        now = datetime.now(UTC)
        worker = Worker(
            name=name,
            role=role,
            doing=tuple(doing()),
            models=dict(models or {}),
            started_at=started,
            seen_at=now,
        )
        items.put(settings, _KIND, name, worker.model_dump(mode="json"), now, _KEEP_S)

    def run() -> None:
        while not stop.is_set():
            _quietly(beat)
            stop.wait(BEAT_S)
        _quietly(lambda: items.delete(settings, _KIND, name))

    thread = threading.Thread(target=run, name="presence", daemon=True)
    thread.start()
    return thread


def _quietly(call: Callable[[], object]) -> None:
    """Presence is for people to look at: a beat that is missed is logged, nothing more."""
    try:
        call()
    except Exception as error:  # noqa: BLE001  # Celery's set of requests may change while it is read
        warn_of("presence_not_written", error)


def alive(settings: Settings, now: datetime) -> list[Worker]:
    """Return the processes that were heard lately, by role and name.

    Raises:
        ServiceUnavailable: The table could not be reached.
    """
    since = now - timedelta(seconds=GONE_S)
    workers = []
    for row in items.every(settings, _KIND, since):
        with passing_over(_KIND):
            workers.append(Worker.model_validate(row, extra="ignore"))
    return sorted(workers, key=lambda worker: (worker.role, worker.name))
