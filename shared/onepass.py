"""One decode of pictures for three uses: each small and grey, every n-th large, bursts between.

Decoding costs many times what scaling does, so all sizes leave the same child, on three pipes.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from shared.decoder import (
    BESIDE_PIPES,
    DEFAULT_LIMITS,
    SHOWINFO,
    Child,
    DecodeLimits,
    compile_quiet,
    open_input,
)
from shared.errors import DecoderTimeout, Undecodable
from shared.media import MAX_DECODED_S, MAX_SIDE_PX, Frame, Sampling, scaled_size
from shared.records import Media, Track

#: Large pictures, and those of bursts, that are decoded ahead of who looks at them.
_AHEAD, _BURST_AHEAD = 3, 24
#: How far behind the end of a stretch the input is read, in seconds.
_BEYOND_S = 0.2

Item = TypeVar("Item")
Grey = tuple[float, NDArray[np.uint8]]


@dataclass
class _Times:
    """The times of all pictures in order, asked for by several threads."""

    child: Child
    start_s: float
    known: list[tuple[int, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, place: int) -> tuple[int, float]:
        """Return number and time in seconds of a picture of the track, once the log tells them.

        A picture's number is its place, until the pictures change their size: ffmpeg then starts
        its filters, and their count, anew.
        """
        with self.lock:
            while len(self.known) <= place:
                number, time_s = self.child.next_picture()
                self.known.append((number, self.start_s + time_s))
            return self.known[place]

    def selected(self, condition: Callable[[int], bool]) -> Iterator[tuple[int, float]]:
        """Yield place and time of each picture whose number a filter `select` lets through."""
        for place in itertools.count():
            number, time_s = self.of(place)
            if condition(number):
                yield place, time_s


@dataclass(frozen=True)
class Bursts:
    """Pictures that are wanted in close succession, besides.

    Attributes:
        numbers: Of the pictures of each burst, counted from the first that is decoded; apart from
            each other, in order.
        side_px: They are scaled down so that the longer side is at most this.
    """

    numbers: tuple[range, ...]
    side_px: int

    @property
    def condition(self) -> str:
        """The pictures as an expression of ffmpeg's filter `select`."""
        return "+".join(
            f"between(n,{burst.start},{burst[-1]})*not(mod(n-{burst.start},{burst.step}))"
            for burst in self.numbers
        )


class _Ahead(Generic[Item]):
    """A few pictures between the thread that reads and the one that looks."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._items: deque[Item | None] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Item | None) -> bool:
        """Hand one over when there is room, None after the last; False where nobody wants more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._room)
            if not self._closed:
                self._items.append(item)
            self._changed.notify_all()
            return not self._closed

    def __iter__(self) -> Iterator[Item]:
        """Wait for each in turn, until the last or until nobody wants more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._items)
                item = None if self._closed else self._items.popleft()
                self._changed.notify_all()
            if item is None:
                return
            yield item

    def end(self) -> None:
        """Let the last one be the last, without waiting for room."""
        with self._changed:
            self._items.append(None)
            self._changed.notify_all()

    def close(self) -> None:
        """Want no more."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()


class OnePassReader:
    """Stream every n-th picture of a stretch, and gather all of them small and grey; iterate once.

    Where `bursts` are wanted too, another thread has to take them from `burst_frames`, or say by
    `skip_bursts` that nobody will: they hold up the other pictures. It waits until the reader is
    iterated, or `end` says that it will not be.

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
        bursts: Bursts | None = None,
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
        self._bursts = bursts
        self._burst_size = scaled_size(track, bursts.side_px) if bursts else (0, 0)
        self._burst_ahead: _Ahead[Frame] = _Ahead(_BURST_AHEAD)
        options = {}
        if sampling.length_s:  # outputs that end early would let it decode on; their `t` is exact
            options["t"] = sampling.length_s + _BEYOND_S
        track_input = open_input(path, media, track, sampling.start_s, **options)
        shown = track_input.filter("showinfo", checksum=0)
        parts = shown.filter_multi_output("split", 3 if bursts else 2)
        large = parts[0].filter("select", f"not(mod(n,{sampling.every}))")
        small = parts[1].filter("scale", *self._grey_size, flags="area").filter("format", "gray")
        length_s = sampling.length_s or MAX_DECODED_S
        raw: dict[str, Any] = {"format": "rawvideo", "fps_mode": "passthrough", "t": length_s}
        greys, close, *_ = BESIDE_PIPES
        beside = [ffmpeg.output(small, greys, **raw, pix_fmt="gray", **{"frames:v": max_greys})]
        if bursts:
            dense = parts[2].filter("select", bursts.condition).filter("scale", *self._burst_size)
            beside.append(ffmpeg.output(dense, close, **raw, pix_fmt="bgr24"))
        self._command = compile_quiet(
            large.filter("scale", *self.size),
            media,
            track,
            beside=beside,
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
        ahead: _Ahead[bytes] = _Ahead(_AHEAD)
        index = 0
        with Child(self._command, self._limits, SHOWINFO) as child:
            times = _Times(child, self._start_s)
            greys, *close = child.beside
            readers = [
                _started(self._read_greys, greys, times),
                _started(_read_ahead, child.stdout, 3 * width * height, ahead),
                *(_started(self._read_bursts, pipe, times) for pipe in close),
            ]
            selected = times.selected(lambda number: number % self._every == 0)
            try:
                for data in ahead:
                    image = np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)
                    yield Frame(index, next(selected)[1], image)
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

    def burst_frames(self) -> Iterator[tuple[int, Frame]]:
        """Yield each picture of the bursts with its burst's number, in order.

        Another thread iterates over the reader. What is left when this one is left is skipped.
        """
        if not self._bursts:
            return
        numbers = [n for n, burst in enumerate(self._bursts.numbers) for _ in burst]
        try:
            yield from zip(numbers, self._burst_ahead, strict=False)  # the recording may end early
        finally:
            self.skip_bursts()

    def skip_bursts(self) -> None:
        """Say that nobody takes the pictures of bursts any more."""
        self._burst_ahead.close()

    def end(self) -> None:
        """Say that nobody iterates any more."""
        self._burst_ahead.end()

    def _read_greys(self, pipe: IO[bytes], times: _Times) -> None:
        """Gather the small pictures; the end of the log or of its patience ends them."""
        width, height = self._grey_size
        while len(data := pipe.read(width * height)) == width * height:
            picture = np.frombuffer(data, dtype=np.uint8).reshape(height, width)
            try:
                self.greys.append((times.of(len(self.greys))[1], picture))
            except (Undecodable, DecoderTimeout):
                return

    def _read_bursts(self, pipe: IO[bytes], times: _Times) -> None:
        """Hand on the pictures of bursts; read to the end, since unread ones hold up the others.

        Those that were selected again after a change of size are others than were asked for.
        """
        assert self._bursts
        width, height = self._burst_size
        size, wanted = 3 * width * height, True
        numbers = set(itertools.chain.from_iterable(self._bursts.numbers))
        selected = times.selected(numbers.__contains__)
        try:
            while len(data := pipe.read(size)) == size:
                if not wanted:
                    continue
                try:
                    place, time_s = next(selected)
                except (Undecodable, DecoderTimeout):
                    wanted = False
                    continue
                if place == times.of(place)[0]:
                    picture = np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)
                    wanted = self._burst_ahead.put(Frame(place, time_s, picture))
        finally:
            self._burst_ahead.end()


def _started(work: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def _read_ahead(pipe: IO[bytes], size: int, ahead: _Ahead[bytes]) -> None:
    """Hand on whole pictures until the pipe ends or nobody wants more."""
    while len(data := pipe.read(size)) == size:
        if not ahead.put(data):
            return
    ahead.put(None)
