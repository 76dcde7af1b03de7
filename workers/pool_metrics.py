"""A private directory of a worker, through which metrics of its pool children reach it."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from multiprocessing.util import Finalize

from shared import objects
from shared.errors import SetupError
from shared.settings import Settings

#: prometheus_client's own variable; it is read when that package is imported for the first time.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


#: After that of multiprocessing's own temporary directory (-100), which lies inside.
_EXIT_PRIORITY = -200


def collect(settings: Settings) -> None:
    """Collect the metrics of this process and of all it starts, until it ends.

    All other temporary files of theirs go to the same private directory, so that those of a
    process that was killed are removed when the next one starts.

    Raises:
        SetupError: Metrics were declared before; those would not be collected.
    """
    if "prometheus_client" in sys.modules:
        raise SetupError("Metrics were declared before their directory was made.")
    until_the_end = ExitStack()
    directory = until_the_end.enter_context(objects.workspace(settings))
    Finalize(None, until_the_end.close, exitpriority=_EXIT_PRIORITY)
    os.environ[VARIABLE] = str(directory)  # never a parent's: each has figures of its own
    os.environ["TMPDIR"] = tempfile.tempdir = str(directory)
