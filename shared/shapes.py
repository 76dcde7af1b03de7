"""A network on a GPU, with a session for each shape of its input."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Sessions of one network that are kept; the one unused for longest goes first.
MOST = 8
#: Rows are filled up to a power of this, so that few shapes come up.
_STEP = 4
Array = NDArray[Any]
Shape = tuple[tuple[int, ...], ...]


class Shaped:
    """Runs a network through the session that has seen inputs of this shape before.

    With CUDA, ONNX Runtime plans every convolution anew whenever the shape of its input is another
    than at the last run, and keeps no plan but the last; docs/performance.md has what that costs.
    Where rows are independent of each other, a batch is filled up with copies of its last row.
    """

    def __init__(self, first: Any, another: Callable[[], Any]) -> None:
        """Begin with one session.

        Args:
            first: An `onnxruntime.InferenceSession`.
            another: Opens one more of the same network.
        """
        self._first, self._another = first, another
        self._lock = threading.Lock()
        self._sessions: OrderedDict[Shape, Any] = OrderedDict()
        self._fills = _rows_are_independent(first)

    def __getattr__(self, name: str) -> Any:
        """Be the first session in all else."""
        return getattr(self._first, name)

    def run(self, outputs: list[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        """Run the network; answers have as many rows as were given."""
        if not self._fills:
            return self._run(outputs, feeds)
        ((name, rows),) = feeds.items()
        count = len(rows)
        missing = _filled(count) - count
        if missing:
            rows = np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])
        return [answer[:count] for answer in self._run(outputs, {name: rows})]

    def _run(self, outputs: list[str] | None, feeds: Mapping[str, Array]) -> list[Array]:
        answers: list[Array] = self._of(feeds).run(outputs, feeds)
        return answers

    def _of(self, feeds: Mapping[str, Array]) -> Any:
        """Return the session for inputs of these shapes, opened now if there is none."""
        shape = tuple(np.shape(value) for value in feeds.values())
        with self._lock:
            session = self._sessions.get(shape)
            if session is None:
                session = self._another() if self._sessions else self._first
                self._sessions[shape] = session
            self._sessions.move_to_end(shape)
            while len(self._sessions) > MOST:
                self._sessions.popitem(last=False)
        return session


def _rows_are_independent(session: Any) -> bool:
    """Whether the only input and all outputs share a first axis of free length: a batch."""
    inputs = session.get_inputs()
    axes = {item.shape[0] if item.shape else None for item in (*inputs, *session.get_outputs())}
    return len(inputs) == 1 and len(axes) == 1 and isinstance(axes.pop(), str)


def _filled(rows: int) -> int:
    """Return the number of rows that a batch is filled up to."""
    size = 1
    while size < rows:
        size *= _STEP
    return size
