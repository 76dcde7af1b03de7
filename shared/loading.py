"""What the pool child of a worker says of its models: loaded and fit, or not to be loaded.

A worker takes no message before its models are loaded, and ends where they cannot be: without a
GPU that works, say, every receive would fail, and five of them make a dead letter. Parent and
child share nothing but their private temporary directory (`workers.pool_metrics`).
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

_log = structlog.get_logger()


def load(work: Callable[[], bool]) -> None:
    """Load in the child before it takes a task, and say how that went.

    A failure ends the worker: Celery logs what is raised where this is called, and would go on. A
    worker whose models are loaded and give wrong answers stays up without taking any work, so that
    its metrics tell.

    Args:
        work: Loads, and returns whether the answers are right.
    """
    worker = os.getppid()
    for name in ("loaded", "unfit"):  # by a child whose place this one takes
        _note(name, worker).unlink(missing_ok=True)
    try:
        fit = work()
    except Exception as error:  # noqa: BLE001  # whatever it is, the worker is of no use
        _log.exception("models_not_loaded")
        _note("failed", worker).write_text(f"{error}" or type(error).__name__, encoding="utf-8")
        os.kill(worker, signal.SIGTERM)
        return
    _note("loaded" if fit else "unfit", worker).touch()


@contextmanager
def replaced_where_lost() -> Iterator[None]:
    """End this child where a network cannot be run; another one takes its place, and loads anew.

    A fault of the GPU lasts as long as the process that met it (CUDA, "sticky" errors), so this
    child would fail at every message. The one in hand goes back with backoff.
    """
    try:
        yield
    except Exception as error:
        if is_lost(error):
            _log.error("child_replaced", error=str(error))
            _note("loaded", os.getppid()).unlink(missing_ok=True)
            os._exit(os.EX_SOFTWARE)
        raise


def is_lost(error: Exception) -> bool:
    """Return whether a network could not be run, and so none will be in this process."""
    return type(error).__module__.startswith("onnxruntime")


def done() -> bool:
    """Return whether a child of this worker has loaded its models, and they are fit for work."""
    return _note("loaded").exists() and failure() is None


def unfit() -> bool:
    """Return whether the models of this worker are loaded and give wrong answers."""
    return _note("unfit").exists()


def failure() -> str | None:
    """Return why a child of this worker could not load its models, if one could not."""
    try:
        return _note("failed").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _note(name: str, worker: int | None = None) -> Path:
    return Path(tempfile.gettempdir()) / f"models-of-{worker or os.getpid()}.{name}"
