"""A directory through which the metrics of pool children reach their parent."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import SetupError

#: prometheus_client's own variable; it is read when that package is imported for the first time.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def collected() -> Iterator[None]:
    """Collect the metrics of this process and of all it starts, until the context ends.

    Raises:
        SetupError: Metrics were declared before; those would not be collected.
    """
    if "prometheus_client" in sys.modules:
        raise SetupError("Metrics were declared before their directory was made.")
    directory = tempfile.mkdtemp(prefix="guardian-metrics-")
    os.environ[VARIABLE] = directory  # never a parent's: each worker has figures of its own
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # figures of a process that is gone
