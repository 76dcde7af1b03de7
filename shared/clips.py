"""Short recordings of sound, several decoded by one child: to start ffmpeg takes longer than most.

What comes out is what `PcmReader` reads of each, or nothing: a recording that is long, large or in
any way out of order, and all that shared its child, are left to a child of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from shared.containers import AUDIO_CONTAINERS, sniff_file
from shared.decoder import BESIDE_PIPES, DEFAULT_LIMITS, Child, DecodeLimits, compile_quiet
from shared.errors import GuardianError
from shared.media import BLOCK_S, PCM, PCM_RATE, as_samples, open_sound
from shared.records import Media, Track

#: Recordings that one child decodes, and bytes and seconds of each at most; bounds memory.
TOGETHER = 1 + len(BESIDE_PIPES)
MOST_BYTES, MOST_S = 1_000_000, 60
_FIRST_TRACK = Track(index=0, kind="audio", codec="unknown")


@dataclass(frozen=True)
class Clip:
    """A recording that was decoded before anybody reads it; iterate as over a `PcmReader`.

    Attributes:
        media: What is known of it: there was no probe.
        pcm: float32 of shape (samples,) at `PCM_RATE`.
    """

    media: Media
    pcm: NDArray[np.float32]
    decode_errors: int = 0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of the length that a `PcmReader` has."""
        step = round(BLOCK_S * PCM_RATE)
        for start in range(0, self.pcm.size, step):
            yield self.pcm[start : start + step]


def sound_alone(path: Path) -> Media | None:
    """Return what is known without a probe of a file that holds sound alone; None of others.

    Raises:
        NotMedia: The content is no known container.
    """
    container = sniff_file(path)
    if container not in AUDIO_CONTAINERS:
        return None
    return Media(container=container, tracks=(_FIRST_TRACK,))


def decode(paths: Sequence[Path], limits: DecodeLimits = DEFAULT_LIMITS) -> dict[Path, Clip]:
    """Decode short recordings by one child; what is not in the answer is to be read alone.

    Args:
        paths: Any files, `TOGETHER` at most.
        limits: What the child may use.
    """
    short = {path: media for path in paths if (media := _short(path))}
    if len(short) > 1:
        with suppress(GuardianError, OSError):  # who reads them alone says what is wrong
            return _together(short, limits)
    return {}


def _short(path: Path) -> Media | None:
    try:
        return sound_alone(path) if path.stat().st_size <= MOST_BYTES else None
    except (GuardianError, OSError):  # here too
        return None


def _together(part: dict[Path, Media], limits: DecodeLimits) -> dict[Path, Clip]:
    first, *others = (open_sound(path, media, _FIRST_TRACK) for path, media in part.items())
    beside = [
        ffmpeg.output(sound, pipe, t=MOST_S, **PCM)
        for sound, pipe in zip(others, BESIDE_PIPES[: len(others)], strict=True)
    ]
    media = next(iter(part.values()))
    command = compile_quiet(first, media, _FIRST_TRACK, beside=beside, t=MOST_S, **PCM)
    with Child(command, limits) as child, ThreadPoolExecutor(len(part)) as readers:
        # ffmpeg writes to all in turn, and waits where nobody reads
        read = list(readers.map(lambda pipe: pipe.read(), (child.stdout, *child.beside)))
        well = child.finish() == 0 and not child.errors
    sounds = [as_samples(data) for data in read]
    if not well or not all(0 < sound.size < MOST_S * PCM_RATE for sound in sounds):
        return {}
    known = zip(part.items(), sounds, strict=True)
    return {path: Clip(media, sound) for (path, media), sound in known}
