"""Bursts of one recording: decoded closely, while the faces of all of it are still looked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from shared.agreement import RATE_HZ, Projection, Span
from shared.decoder import DecodeLimits
from shared.errors import Undecodable
from shared.media import Frame, FrameReader, Sampling
from shared.onepass import OnePassReader
from shared.records import Media, SyncSeries, Track
from workers.video import lips
from workers.video.faces import FaceFinder


class Mouths:
    """Follows the mouths of one track.

    Attributes:
        dropped: Pieces that were not usable, by reason.
    """

    def __init__(
        self,
        path: Path,
        media: Media,
        track: Track,
        finder: FaceFinder,
        projection: Projection,
        limits: DecodeLimits,
    ) -> None:
        """Prepare; nothing is decoded yet."""
        self.dropped: Counter[str] = Counter()
        self._open = (path, media, track)
        self._finder = finder
        self._projection = projection
        self._limits = limits
        self._every = max(1, int((track.fps or RATE_HZ) / RATE_HZ + 0.01))
        self._duration_s = track.duration_s or media.duration_s or 0.0
        self._looked: list[Span] = []

    def follow_on_the_way(
        self, bursts: Sequence[Span], readers: Sequence[OnePassReader]
    ) -> tuple[SyncSeries, ...]:
        """Look closely at bursts that are decoded with the other pictures, in another thread.

        Args:
            bursts: Their starts and lengths, in seconds.
            readers: What decodes them.
        """
        self._looked.extend(bursts)
        found: tuple[SyncSeries, ...] = ()
        try:
            for reader in readers:
                for _, numbered in groupby(reader.burst_frames(), key=lambda item: item[0]):
                    found += self._series(frame for _, frame in numbered)
        finally:
            for reader in readers:
                reader.skip_bursts()
        return found

    def follow(self, any_face: SimpleQueue[bool], keys: Sequence[float]) -> tuple[SyncSeries, ...]:
        """Wait until a face is seen anywhere, then look closely at evenly spread bursts.

        Args:
            any_face: Gets True with the first face, False where there is none to come.
            keys: Times of key pictures, in seconds.

        Raises:
            DecoderTimeout: The decoder did not finish in time.
        """
        if not any_face.get():
            return ()
        return self.follow_where(np.arange(0.0, max(1.0, self._duration_s)).tolist(), keys)

    def follow_where(self, times: Sequence[float], keys: Sequence[float]) -> tuple[SyncSeries, ...]:
        """Look closely where faces were seen, besides where that was done already.

        Args:
            times: When faces were seen, in order, in seconds.
            keys: Times of key pictures, in seconds.

        Returns:
            The series of all usable mouths; a burst that cannot be decoded is counted.

        Raises:
            DecoderTimeout: The decoder did not finish in time.
        """
        found: tuple[SyncSeries, ...] = ()
        duration_s = max(self._duration_s, *times, 0.0) if times else self._duration_s
        for burst in lips.bursts(times, duration_s, keys):
            if self._is_known(burst):
                continue
            self._looked.append(burst)
            try:
                found += self._series(self._frames(burst))
            except Undecodable:
                self.dropped["undecodable_bursts"] += 1
        return found

    def _is_known(self, burst: Span) -> bool:
        """Tell whether at least half of a burst was looked at already."""
        start_s, length_s = burst
        seen_s = sum(
            max(0.0, min(start_s + length_s, start + length) - max(start_s, start))
            for start, length in self._looked
        )
        return seen_s >= length_s / 2

    def _series(self, frames: Iterable[Frame]) -> tuple[SyncSeries, ...]:
        mouths = lips.watch(frames, self._finder, self.dropped)
        return lips.series(mouths, self._projection, self.dropped)

    def _frames(self, burst: Span) -> FrameReader:
        start_s, length_s = burst
        return FrameReader(
            *self._open,
            Sampling(every=self._every, start_s=start_s, length_s=length_s),
            max_frames=int(length_s * lips.MOST_HZ),
            max_side_px=lips.BURST_SIDE_PX,
            limits=self._limits,
        )
