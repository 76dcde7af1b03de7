"""Where there is speech: a streaming voice activity detector over 32 ms frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.media import PCM_RATE
from shared.models import Registry

Samples = NDArray[np.float32]

#: Name of the voice activity detector in the registry.
MODEL = "voice-activity"
#: Samples of one frame (32 ms), and of the past that the network sees before it.
FRAME = 512
CONTEXT = 64
FRAME_S = FRAME / PCM_RATE
#: Speech probability from which a frame counts as speech.
THRESHOLD = 0.5
_STATE_SHAPE = (1, 1, 128)


class SpeechStream:
    """Turns blocks of PCM into one speech probability a frame, with memory between the blocks."""

    def __init__(self, session: Any) -> None:
        """Begin a recording.

        Args:
            session: ONNX session of the detector: frames (n, 576) and two states in,
                probabilities (n,) and the states out.
        """
        self._session = session
        self._tail = np.zeros(CONTEXT, dtype=np.float32)
        self._state = np.zeros(_STATE_SHAPE, dtype=np.float32)
        self._cell = np.zeros(_STATE_SHAPE, dtype=np.float32)

    def feed(self, block: Samples) -> NDArray[np.float32]:
        """Return the probabilities of all frames that are complete with this block."""
        heard = np.concatenate([self._tail, block])
        frames = (heard.size - CONTEXT) // FRAME
        used = frames * FRAME
        self._tail = heard[used:]
        if not frames:
            return np.zeros(0, dtype=np.float32)
        rows = np.lib.stride_tricks.sliding_window_view(heard[: used + CONTEXT], FRAME + CONTEXT)[
            ::FRAME
        ]
        probabilities, self._state, self._cell = self._session.run(
            None,
            {"input": np.ascontiguousarray(rows), "h": self._state, "c": self._cell},
        )
        return np.asarray(probabilities, dtype=np.float32)


def load(registry: Registry) -> Any:
    """Open the detector's session on one thread; its frames depend on each other.

    Raises:
        ModelMissing: The file is not there.
        ModelCorrupt: Its digest is wrong.
    """
    return registry.session(MODEL, threads=1)
