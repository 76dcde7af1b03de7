"""A network on a CPU, with the rows of a batch run side by side."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class SideBySide:
    """Runs each row of a batch alone, as many at a time as there are threads.

    What one row needs stays in the caches of one core, and nothing waits for other threads inside
    an operator; docs/performance.md has what a network takes in either way. What a row is given
    does not depend on the batch that it came in.

    Attributes:
        threads: Rows at a time.
    """

    def __init__(self, session: Any, threads: int) -> None:
        """Wrap a session.

        Args:
            session: An `onnxruntime.InferenceSession` on one thread, with one input whose rows are
                independent of each other.
            threads: Rows at a time; 1 runs them in the thread that asks.
        """
        self.threads = threads
        self._session = session
        self._pool = ThreadPoolExecutor(threads, "row") if threads > 1 else None

    def __getattr__(self, name: str) -> Any:
        """Be the session in all else."""
        return getattr(self._session, name)

    def run(self, outputs: list[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """Run the network on each row; answers have as many rows as were given."""
        ((name, rows),) = feeds.items()

        def alone(row: int) -> list[Array]:
            answers: list[Array] = self._session.run(outputs, {name: rows[row : row + 1]})
            return answers

        each = self._pool.map if self._pool else map
        return [np.concatenate(parts) for parts in zip(*each(alone, range(len(rows))), strict=True)]
