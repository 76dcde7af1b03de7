"""One decode of pictures for two uses: each small and grey, every n-th large.

Decoding costs many times what scaling does, so both sizes leave the same child, on two pipes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from shared.decoder import (
    DEFAULT_LIMITS,
    SECOND_PIPE,
    SHOWINFO,
    Child,
    DecodeLimits,
    compile_quiet,
    open_input,
)
from shared.errors import DecoderTimeout, Undecodable
from shared.media import MAX_DECODED_S, MAX_SIDE_PX, Frame, Sampling, scaled_size
from shared.records import Media, Track

#: Large pictures that are decoded ahead while the one before is looked at.
_AHEAD = 3
#: The end of the large pictures.
_END = b""

Grey = tuple[float, NDArray[np.uint8]]


@dataclass
class _Times:
    """The times of all pictures in order, asked for by two threads."""

    child: Child
    start_s: float
    known: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, index: int) -> float:
        """Return the time of a picture of the track, in seconds, once the log tells it."""
        with self.lock:
            while len(self.known) <= index:
                self.known.append(self.start_s + self.child.next_time_s())
            return self.known[index]


@dataclass
class _Ahead:
    """A few large pictures between the thread that reads and the one that looks."""

    pictures: deque[bytes] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closed: bool = False

    def put(self, picture: bytes) -> bool:
        """Hand one over when there is room; False where nobody wants more."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or len(self.pictures) < _AHEAD)
            self.pictures.append(picture)
            self.changed.notify_all()
            return not self.closed

    def take(self) -> bytes:
        """Wait for the next one; `_END` is the last."""
        with self.changed:
            self.changed.wait_for(lambda: self.pictures)
            self.changed.notify_all()
            return self.pictures.popleft()

    def close(self) -> None:
        """Want no more."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class OnePassReader:
    """Stream every n-th picture of a stretch, and gather all of them small and grey; iterate once.

    Attributes:
        size: Width and height of the large pictures, in pixels.
        greys: Time in seconds and pixels, uint8 of shape (height, width), of every picture;
            complete after iteration.
        decode_errors: Errors that the decoder reported, complete after iteration.
    """

    def __init__(
        self,
        path: Path,
        media: Media,
        track: Track,
        sampling: Sampling,
        *,
        max_frames: int,
        grey_side_px: int,
        max_greys: int,
        max_side_px: int = MAX_SIDE_PX,
        limits: DecodeLimits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare the reader; nothing runs before the first picture is asked for.

        Raises:
            Undecodable: The picture has no size.
            ValueError: Only key pictures are to be decoded.
        """
        if sampling.keyframes_only:
            raise ValueError("One pass sees every picture.")
        self.size = scaled_size(track, max_side_px)
        self.greys: list[Grey] = []
        self.decode_errors = 0
        self._every = sampling.every
        self._grey_size = scaled_size(track, grey_side_px)
        self._limits = limits
        self._start_s = sampling.start_s
        options = {"ss": sampling.start_s} if sampling.start_s else {}
        both = open_input(path, media, **options)[str(track.index)].filter("showinfo", checksum=0)
        both = both.filter_multi_output("split")
        large = both[0].filter("select", f"not(mod(n,{sampling.every}))")
        small = both[1].filter("scale", *self._grey_size, flags="area").filter("format", "gray")
        length_s = sampling.length_s or MAX_DECODED_S
        raw: dict[str, Any] = {"format": "rawvideo", "fps_mode": "passthrough", "t": length_s}
        self._command = compile_quiet(
            large.filter("scale", *self.size),
            beside=ffmpeg.output(
                small, SECOND_PIPE, **raw, pix_fmt="gray", **{"frames:v": max_greys}
            ),
            **raw,
            pix_fmt="bgr24",
            **{"frames:v": max_frames},
        )

    def __iter__(self) -> Iterator[Frame]:
        """Yield the large pictures in presentation order.

        Raises:
            Undecodable: Not one picture came out.
            DecoderTimeout: The decoder did not finish in time.
        """
        width, height = self.size
        ahead, index = _Ahead(), 0
        with Child(self._command, self._limits, SHOWINFO) as child:
            times = _Times(child, self._start_s)
            readers = (
                threading.Thread(target=self._read_greys, args=(child.second, times), daemon=True),
                threading.Thread(
                    target=_read_ahead, args=(child.stdout, 3 * width * height, ahead), daemon=True
                ),
            )
            for reader in readers:
                reader.start()
            try:
                while data := ahead.take():
                    image = np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)
                    yield Frame(index, times.of(index * self._every), image)
                    index += 1
                readers[0].join()
                child.finish()
            finally:
                ahead.close()
                child.kill()
                for reader in readers:
                    reader.join()
            self.decode_errors = child.errors
            if index == 0:
                raise Undecodable(f"The picture could not be decoded: {child.last_error()}.")

    def _read_greys(self, pipe: IO[bytes], times: _Times) -> None:
        """Gather the small pictures; the end of the log or of its patience ends them."""
        width, height = self._grey_size
        while len(data := pipe.read(width * height)) == width * height:
            picture = np.frombuffer(data, dtype=np.uint8).reshape(height, width)
            try:
                self.greys.append((times.of(len(self.greys)), picture))
            except (Undecodable, DecoderTimeout):
                return


def _read_ahead(pipe: IO[bytes], size: int, ahead: _Ahead) -> None:
    """Hand on whole pictures until the pipe ends or nobody wants more."""
    wanted = True
    while wanted and len(data := pipe.read(size)) == size:
        wanted = ahead.put(data)
    ahead.put(_END)
