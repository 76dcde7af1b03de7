"""Which stretches of a recording are scored: windows over speech, cut from the stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.media import PCM_RATE
from workers.audio.speech import FRAME, FRAME_S, THRESHOLD

Samples = NDArray[np.float32]

#: Length of a piece that the network hears at once (4 s), in samples. It says something about each
#: half, so that windows of the same length two seconds apart come out of pieces side by side.
WINDOW = 4 * PCM_RATE
HALF = 2 * PCM_RATE
#: Pause between two windows that still follow each other (0.5 s), in samples.
GAP = PCM_RATE // 2
#: Sound kept before the first and after the last frame of speech (0.1 s), in samples.
PAD = PCM_RATE // 10
#: Speech that a full window must hold, and that must be left over for a last window, in seconds.
MIN_WINDOW_SPEECH_S = 1.0


@dataclass(frozen=True)
class Window:
    """One stretch to be scored.

    Attributes:
        start: First sample, counted from the start of the recording.
        end: Sample after the last; at most `WINDOW` after the first.
        speech_s: Speech in it, in seconds.
        samples: float32 of shape (WINDOW,); a shorter stretch is repeated to fill it.
    """

    start: int
    end: int
    speech_s: float
    samples: Samples

    @property
    def is_full(self) -> bool:
        """Whether hardly anything of it is repeated."""
        return self.end - self.start >= WINDOW - GAP


class WindowCutter:
    """Cuts windows out of a stream; holds one window and one block of sound, however long it is.

    A window begins where speech begins, the next one where it ends, or where speech begins again
    after a pause. The last one ends with the speech.

    Attributes:
        sparse: Windows left out because they held too little speech.
    """

    def __init__(self) -> None:
        self.sparse = 0
        self._kept = np.zeros(0, dtype=np.float32)
        self._kept_from = 0
        self._speech: list[bool] = []
        self._cursor = 0
        self._covered = 0
        self._cut = 0
        self._densest: Window | None = None

    @property
    def speech(self) -> NDArray[np.bool_]:
        """Whether each 32 ms frame so far is speech."""
        return np.asarray(self._speech, dtype=np.bool_)

    @property
    def speech_s(self) -> float:
        """Speech so far, in seconds."""
        return sum(self._speech) * FRAME_S

    def spoken_s(self, start: int, end: int) -> float:
        """Return the speech between two samples, in seconds."""
        return sum(self._speech[start // FRAME : -(-end // FRAME)]) * FRAME_S

    def feed(self, block: Samples, probabilities: NDArray[np.float32]) -> Iterator[Window]:
        """Take in a block and the frames completed by it; yield the windows that are complete."""
        self._kept = np.concatenate([self._kept, block])
        self._speech.extend((probabilities >= THRESHOLD).tolist())
        known = min(self._kept_from + self._kept.size, len(self._speech) * FRAME)
        while self._move_to_speech() and self._cursor + WINDOW <= known:
            window = self._window(self._cursor, self._cursor + WINDOW)
            if window.speech_s < MIN_WINDOW_SPEECH_S:
                self._cursor += HALF
                self.sparse += 1
                if not self._cut:
                    self._densest = _denser(self._densest, window)
                continue
            self._cursor += WINDOW
            self._covered = window.end
            self._cut += 1
            self._densest = None
            yield window
        self._forget()

    def finish(self) -> Iterator[Window]:
        """Yield the last window, if speech is left over that no other window covers.

        Where speech was too sparse for any window, that is the one with the most of it.
        """
        spoken = np.flatnonzero(self._speech)
        if not spoken.size:
            return
        total = self._kept_from + self._kept.size
        end = min(total, (int(spoken[-1]) + 1) * FRAME + PAD)
        left_s = int((spoken * FRAME >= self._covered).sum()) * FRAME_S
        if self._cut and left_s < MIN_WINDOW_SPEECH_S:
            return
        start = max(0, end - WINDOW, self._kept_from)
        if not self._cut:
            start = max(start, min(int(spoken[0]) * FRAME - PAD, end - 1))
        # silence may have followed for so long that little or nothing of it is kept
        window = self._window(start, end) if start < end else None
        if not self._cut:
            window = _denser(self._densest, window)
        elif window and window.speech_s < MIN_WINDOW_SPEECH_S:
            self.sparse += 1
            return
        if window:
            yield window

    def _move_to_speech(self) -> bool:
        """Move the cursor to the next speech; False where none is known yet."""
        frame = self._cursor // FRAME
        try:
            found = self._speech.index(True, frame)
        except ValueError:
            return False
        if found > frame:
            self._cursor = max(self._cursor, found * FRAME - PAD)
        return True

    def _window(self, start: int, end: int) -> Window:
        """Cut one window; silence after its last speech is cut off, as in training."""
        spoken = np.flatnonzero(self._speech[start // FRAME : -(-end // FRAME)])
        if spoken.size:
            end = min(end, (start // FRAME + int(spoken[-1]) + 1) * FRAME + PAD)
        piece = self._kept[start - self._kept_from : end - self._kept_from]
        speech_s = spoken.size * FRAME_S
        return Window(start, end, speech_s, np.resize(piece, WINDOW))

    def _forget(self) -> None:
        """Drop sound that no later window can reach: one window back from the end is enough."""
        end = self._kept_from + self._kept.size
        known = len(self._speech) * FRAME
        reach = self._cursor if self._has_speech_from(self._cursor) else known - PAD - FRAME
        keep_from = max(self._kept_from, min(reach, end - WINDOW - 2 * PAD))
        self._kept = self._kept[keep_from - self._kept_from :]
        self._kept_from = keep_from

    def _has_speech_from(self, sample: int) -> bool:
        return any(self._speech[sample // FRAME :])


def _denser(one: Window | None, other: Window | None) -> Window | None:
    """Return the one with more speech, the first where they are equal."""
    return max(filter(None, (one, other)), key=lambda window: window.speech_s, default=None)
