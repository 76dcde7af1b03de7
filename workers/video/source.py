"""The pictures of one recording: which are decoded for faces, which for the sequence of frames."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.agreement import Span
from shared.decoder import DecodeLimits
from shared.dense import Packets, read_packets
from shared.errors import Undecodable
from shared.media import Frame, FrameReader, Sampling, plan_sampling
from shared.onepass import OnePassReader
from shared.records import Media, Track
from workers.video import lips, stretches
from workers.video.between import Looks, looks
from workers.video.consistency import MAX_PICTURES
from workers.video.motion import SIDE_PX

#: Seconds that are decoded picture by picture by default, and the share of long recordings.
SEQUENCE_S, SEQUENCE_SHARE = 24.0, 0.1
#: Short recordings are sampled more densely than asked, until about this many frames are seen.
ENOUGH_FRAMES = 24
#: Outside the stretches, key pictures are looked at this many times as thinly as pictures inside.
_THINNER = 4.0


@dataclass(frozen=True)
class Choice:
    """What is wanted of a recording's pictures.

    Attributes:
        every: Look for faces in every n-th picture; in short recordings more densely.
        most: Look at no more than about so many.
        sequence_s: Seconds that are decoded picture by picture for the sequence of frames, about;
            of long recordings a tenth, up to `MAX_PICTURES`. 0 for none.
        bursts: Whether mouths shall be followed.
    """

    every: int
    most: int
    sequence_s: float = SEQUENCE_S
    bursts: bool = False


class Source:
    """Decodes what is wanted of one track, once.

    Attributes:
        packets: What the container says; None where the sequence is not wanted, or it says nothing.
        stretches: Every picture of these was decoded small; complete after `frames`. Empty where
            the sequence is not wanted or the recording is looked at in key pictures alone.
        bursts: Start and length of what another thread has to take from the stretches'
            `burst_frames`, in seconds; empty where mouths are to be looked for elsewhere.
        dropped: Errors of decoders and stretches without a picture; complete after `frames`.
    """

    def __init__(
        self, path: Path, media: Media, track: Track, chosen: Choice, limits: DecodeLimits
    ) -> None:
        """Choose what is decoded, from the packets alone.

        Raises:
            Undecodable: The track has no size.
            DecoderTimeout: The packets could not be read in time.
        """
        self._open = (path, media, track)
        self._limits = limits
        self._length_s = track.duration_s or media.duration_s or 0.0
        self._fps = track.fps or 30.0
        self._fault = ""
        self.dropped: Counter[str] = Counter()
        self._most = 2 * chosen.most
        self._sampling = sampling_for(media, track, chosen.every, chosen.most)
        self.packets: Packets | None = None
        self._spans: tuple[Span, ...] = ()
        self._running: Generator[Frame] | None = None
        self.bursts: list[Span] = []
        self.stretches: list[OnePassReader] = []
        self._keys: FrameReader | None = None
        self._between: list[FrameReader] = []
        if chosen.sequence_s:
            with suppress(Undecodable):  # faces may be seen all the same; `examine` will count it
                self.packets = read_packets(path, media, track, limits=limits)
                self._spans = stretches.choose(self.packets, self._budget_s(chosen.sequence_s))
        if chosen.bursts:
            self.bursts = lips.bursts_on_the_way(self._length_s, self._spans)
        if self._spans:
            gap_s = self._key_gap_s(chosen)
            keys = Sampling(every=1, keyframes_only=True, min_gap_s=0.999 * gap_s)
            self._keys = self._reader(keys)
            unseen = looks(self.keys_s, self._spans, self._length_s, gap_s)
            self._between = [self._reader(self._looking(place)) for place in unseen]
            every = Sampling(every=self._sampling.every)
            self.stretches = [self._one_pass(every, span) for span in self._spans]
        elif self._sampling.keyframes_only or not chosen.sequence_s:
            self._keys, self.bursts = self._reader(self._sampling), []
        else:
            self.stretches = [self._one_pass(self._sampling, None)]

    @property
    def keys_s(self) -> list[float]:
        """Times of key pictures from the track's first picture on, in seconds, in order."""
        return stretches.key_times(self.packets).tolist() if self.packets else []

    def frames(self) -> Iterator[Frame]:
        """Yield the pictures in which faces are looked for, in order of time.

        Raises:
            Undecodable: Not one picture came out.
            DecoderTimeout: A decoder did not finish in time.
        """
        self._running = self._frames()
        return self._running

    def close(self) -> None:
        """End all decoders; who waits for bursts waits no longer."""
        if self._running:
            self._running.close()
        for reader in self.stretches:
            reader.end()

    def _frames(self) -> Generator[Frame]:
        parts = [self._decoded(*self.stretches)]
        if self._keys:
            parts.append(f for f in self._decoded(self._keys) if not self._inside(f.pts_s))
            parts.append(self._decoded(*self._between))
        count = 0
        for frame in heapq.merge(*parts, key=lambda frame: frame.pts_s):
            yield frame
            count += 1
        if not count:
            raise Undecodable(self._fault)

    def _decoded(self, *readers: FrameReader | OnePassReader) -> Iterator[Frame]:
        """Yield the frames of one reader after the other; one that fails is counted."""
        for reader in readers:
            try:
                yield from reader
            except Undecodable as error:
                self._fault = error.message
                self.dropped["stretches_undecodable"] += 1
            self.dropped["decode_errors"] += reader.decode_errors

    def _inside(self, time_s: float) -> bool:
        return any(start <= time_s < start + length for start, length in self._spans)

    def _budget_s(self, least_s: float) -> float:
        return max(least_s, min(SEQUENCE_SHARE * self._length_s, MAX_PICTURES / self._fps))

    def _key_gap_s(self, chosen: Choice) -> float:
        """Return how far key pictures are apart: they are sampled more thinly than stretches."""
        return max(_THINNER * self._sampling.every / self._fps, self._length_s / chosen.most)

    def _looking(self, place: Looks) -> Sampling:
        every = max(1, round(place.gap_s * self._fps))
        length_s = (place.count - 0.75) * place.gap_s  # little is decoded beyond the last look
        return Sampling(every=every, start_s=place.start_s, length_s=length_s)

    def _reader(self, sampling: Sampling) -> FrameReader:
        return FrameReader(*self._open, sampling, max_frames=self._most, limits=self._limits)

    def _one_pass(self, sampling: Sampling, span: Span | None) -> OnePassReader:
        start_s, length_s = span or (0.0, None)
        end_s = start_s + (length_s or self._length_s)
        inside = [burst for burst in self.bursts if start_s - 1e-6 <= burst[0] < end_s]
        return OnePassReader(
            *self._open,
            Sampling(every=sampling.every, start_s=start_s, length_s=length_s),
            max_frames=self._most,
            grey_side_px=SIDE_PX,
            max_greys=MAX_PICTURES,
            bursts=lips.pictures(inside, start_s, self._fps) if inside else None,
            limits=self._limits,
        )


def sampling_for(media: Media, track: Track, sample_every: int, max_frames: int) -> Sampling:
    """Sample every n-th frame; short recordings more densely, long ones more thinly."""
    duration = track.duration_s or media.duration_s or 0.0
    total = track.frames or round(duration * (track.fps or 30.0))
    dense = max(1, min(sample_every, total // ENOUGH_FRAMES))
    return plan_sampling(media, track, dense, max_frames)
