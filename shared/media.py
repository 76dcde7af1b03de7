"""Decode untrusted media in limited ffmpeg children: PCM and frames with true times.

What a file holds is found by `shared.probing`; what a child may do is in `shared.decoder`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.decoder import (
    DEFAULT_LIMITS,
    SHOWINFO,
    Child,
    DecodeLimits,
    compile_quiet,
    open_input,
)
from shared.errors import Undecodable
from shared.records import Media, Track

#: Samples a second of all PCM handed to analyses.
PCM_RATE = 16_000
#: How children write it: mono, 32-bit floats.
PCM = {"format": "f32le", "acodec": "pcm_f32le", "ac": 1, "ar": PCM_RATE}
#: Seconds of sound that are handed on at once.
BLOCK_S = 10.0
#: Pictures are scaled down so that the longer side is at most this.
MAX_SIDE_PX = 1280
_QUARTER_TURN_DEG = 90
#: Largest sample that is taken as it is, in full scales: codecs overshoot a little, and a sample
#: of a damaged or crafted file must not outweigh all others.
_LOUDEST = 4.0
#: Longest stretch of any recording that is decoded (4 h).
MAX_DECODED_S = 4 * 3600
#: A track of which less can be decoded is not whole.
_MOST_OF = 0.9
#: Videos with more frames than this are sampled at key frames only (5 min at 30/s).
FULL_DECODE_FRAMES = 9_000


def open_sound(path: Path, media: Media, track: Track, channel: int | None = None) -> Any:
    """Return a sound track as an ffmpeg-python stream at `PCM_RATE` that begins at 0."""
    sound = open_input(path, media, track)
    if channel is not None:
        sound = sound.filter("channelmap", map=channel, channel_layout="mono")
    return sound.filter("aresample", PCM_RATE, **{"async": 1, "first_pts": 0})


def as_samples(data: bytes) -> NDArray[np.float32]:
    """Return what a child wrote as `PCM`, finite and bounded."""
    block = np.frombuffer(data[: len(data) // 4 * 4], dtype="<f4")
    return np.asarray(np.clip(np.nan_to_num(block), -_LOUDEST, _LOUDEST), dtype=np.float32)


class PcmReader:
    """Stream one sound track as blocks of mono PCM; iterate once.

    Attributes:
        decode_errors: Errors that the decoder reported, complete after iteration.
    """

    def __init__(
        self,
        path: Path,
        media: Media,
        track: Track,
        *,
        channel: int | None = None,
        block_s: float = BLOCK_S,
        limits: DecodeLimits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare the reader; nothing runs before the first block is asked for.

        Args:
            path: The recording.
            media: What a probe found in it.
            track: The sound track.
            channel: Read this one alone; None mixes all.
            block_s: Length of a block in seconds.
            limits: What the decoder may use.
        """
        sound = open_sound(path, media, track, channel)
        self._command = compile_quiet(sound, media, track, t=MAX_DECODED_S, **PCM)
        self._block_bytes = 4 * max(1, round(block_s * PCM_RATE))
        self._limits = limits
        self.decode_errors = 0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield float32 blocks of shape (block_s * 16000,), the last one shorter.

        Raises:
            Undecodable: Not one sample came out.
            DecoderTimeout: The decoder did not finish in time.
        """
        samples = 0
        with Child(self._command, self._limits) as child:
            while data := child.stdout.read(self._block_bytes):
                block = as_samples(data)
                samples += block.size
                yield block
            child.finish()
            self.decode_errors = child.errors
            if samples == 0:
                raise Undecodable(f"The sound could not be decoded: {child.last_error()}.")


def breaks_off(reached_s: float, stated_s: float | None, decode_errors: int) -> bool:
    """Tell whether a track ends in errors well before its stated end: its file was cut off."""
    return bool(decode_errors) and reached_s < _MOST_OF * (stated_s or 0.0)


@dataclass(frozen=True)
class Frame:
    """One decoded picture.

    Attributes:
        index: Position among the sampled frames, from 0.
        pts_s: Presentation time in seconds from the start of the file.
        image: BGR pixels, uint8, shape (height, width, 3), rotated upright.
    """

    index: int
    pts_s: float
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are looked at."""

    every: int
    keyframes_only: bool = False
    min_gap_s: float = 0.0
    start_s: float = 0.0
    length_s: float | None = None


def plan_sampling(media: Media, track: Track, every: int, max_frames: int) -> Sampling:
    """Choose every n-th frame, thinned so that at most about `max_frames` are looked at.

    Long videos are sampled at key frames, which bounds the cost of decoding them.
    """
    duration = track.duration_s or media.duration_s or 0.0
    total = track.frames or round(duration * (track.fps or 30.0))
    if total > FULL_DECODE_FRAMES:
        gap = max(duration / max_frames, every / (track.fps or 30.0))
        return Sampling(every=every, keyframes_only=True, min_gap_s=gap * 0.999)
    return Sampling(every=max(every, ceil(total / max_frames)))


class FrameReader:
    """Stream sampled frames of one picture track with their true times; iterate once.

    Variable frame rates and rotation are honoured: times are the container's, pictures upright.

    Attributes:
        size: Width and height of the pictures handed out, in pixels.
        decode_errors: Errors that the decoder reported, complete after iteration.
    """

    def __init__(
        self,
        path: Path,
        media: Media,
        track: Track,
        sampling: Sampling,
        *,
        max_frames: int = 100_000,
        max_side_px: int = MAX_SIDE_PX,
        limits: DecodeLimits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare the reader; nothing runs before the first frame is asked for.

        Raises:
            Undecodable: The picture has no size.
        """
        self.size = scaled_size(track, max_side_px)
        options: dict[str, Any] = {"skip_frame": "nokey"} if sampling.keyframes_only else {}
        stream = open_input(path, media, track, sampling.start_s, **options)
        if sampling.keyframes_only:
            select = f"isnan(prev_selected_t)+gte(t-prev_selected_t,{sampling.min_gap_s:.6f})"
        else:
            select = f"not(mod(n,{sampling.every}))"
        stream = stream.filter("select", select).filter("scale", *self.size)
        self._command = compile_quiet(
            stream.filter("showinfo", checksum=0),
            media,
            track,
            format="rawvideo",
            pix_fmt="bgr24",
            fps_mode="passthrough",
            t=sampling.length_s or MAX_DECODED_S,
            **{"frames:v": max_frames},
        )
        self._start_s = sampling.start_s
        self._limits = limits
        self.decode_errors = 0

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in presentation order.

        Raises:
            Undecodable: Not one frame came out.
            DecoderTimeout: The decoder did not finish in time.
        """
        width, height = self.size
        index = 0
        with Child(self._command, self._limits, SHOWINFO) as child:
            while len(data := child.stdout.read(width * height * 3)) == width * height * 3:
                image = np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)
                pts_s = child.next_time_s() + self._start_s
                yield Frame(index, pts_s, image)
                index += 1
            child.finish()
            self.decode_errors = child.errors
            if index == 0:
                raise Undecodable(f"The picture could not be decoded: {child.last_error()}.")


def scaled_size(track: Track, max_side_px: int) -> tuple[int, int]:
    """Return width and height (even, upright) after scaling the longer side down to the limit."""
    if not track.width or not track.height:
        raise Undecodable("The picture has no size.")
    width, height = track.width, track.height
    if track.rotation_deg % (2 * _QUARTER_TURN_DEG) == _QUARTER_TURN_DEG:
        width, height = height, width
    scale = min(1.0, max_side_px / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
