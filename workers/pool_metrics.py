"""A private directory of a worker, through which metrics of its pool children reach it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from shared import objects
from shared.errors import SetupError
from shared.settings import Settings

#: prometheus_client's own variable; it is read when that package is imported for the first time.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def collected(settings: Settings) -> Iterator[None]:
    """Collect the metrics of this process and of all it starts, until the context ends.

    All other temporary files of theirs go to the same private directory, so that those of a
    process that was killed are removed when the next one starts.

    Raises:
        SetupError: Metrics were declared before; those would not be collected.
    """
    if "prometheus_client" in sys.modules:
        raise SetupError("Metrics were declared before their directory was made.")
    with objects.workspace(settings) as directory:
        os.environ[VARIABLE] = str(directory)  # never a parent's: each has figures of its own
        os.environ["TMPDIR"] = tempfile.tempdir = str(directory)
        try:
            yield
        finally:
            tempfile.tempdir = None
