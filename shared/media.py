"""Probe and decode untrusted media in limited ffmpeg children: PCM and frames with true times.

The demuxer is fixed by the content of the file (`sniff`), so that ffmpeg never guesses: a playlist
or a concat script in an .mp4 is refused before a decoder sees it. What a child may do is in
`shared.decoder`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.containers import sniff_file
from shared.decoder import (
    DEFAULT_LIMITS,
    PROTOCOLS,
    SHOWINFO,
    Child,
    DecodeLimits,
    compile_quiet,
    open_input,
)
from shared.errors import MediaTooComplex, Undecodable
from shared.records import Media, Track

__all__ = [
    "DEFAULT_LIMITS",
    "FULL_DECODE_FRAMES",
    "MAX_DECODED_S",
    "MAX_SIDE_PX",
    "PCM_RATE",
    "DecodeLimits",
    "Frame",
    "FrameReader",
    "PcmReader",
    "Sampling",
    "breaks_off",
    "plan_sampling",
    "probe",
    "scaled_size",
]

#: Samples a second of all PCM handed to analyses.
PCM_RATE = 16_000
#: Pictures are scaled down so that the longer side is at most this.
MAX_SIDE_PX = 1280
#: Largest coded picture, and most tracks, that are decoded at all.
MAX_PIXELS = 8192 * 4352
MAX_TRACKS = 32
_QUARTER_TURN_DEG = 90
#: Largest sample that is taken as it is, in full scales: codecs overshoot a little, and a sample
#: of a damaged or crafted file must not outweigh all others.
_LOUDEST = 4.0
#: Longest stretch of any recording that is decoded (4 h).
MAX_DECODED_S = 4 * 3600
#: No camera takes more pictures a second without saying so.
_MOST_FPS = 240.0
#: Pixels wider or narrower than this are a mistake of the file.
_MOST_ASPECT = 4.0
#: A track of which less can be decoded is not whole.
_MOST_OF = 0.9
#: Videos with more frames than this are sampled at key frames only (5 min at 30/s).
FULL_DECODE_FRAMES = 9_000


def probe(path: Path, limits: DecodeLimits = DEFAULT_LIMITS) -> Media:
    """Read container, duration and tracks of a file.

    Raises:
        NotMedia: The content is no known container.
        Undecodable: The container cannot be read, or holds neither sound nor moving picture.
        MediaTooComplex: Too many tracks or too large a picture.
        DecoderTimeout: The probe did not finish in time.
    """
    container = sniff_file(path)
    command = ["ffprobe", "-v", "error", "-f", container, "-protocol_whitelist", PROTOCOLS]
    whole = ("-show_format", "-show_streams", "-of", "json", f"file:{path}")
    with Child([*command, *whole], limits) as child:
        out = child.stdout.read()
        if child.finish() != 0:
            raise Undecodable(f"The container could not be read: {child.last_error()}.")
    info: dict[str, Any] = json.loads(out or b"{}")
    streams = info.get("streams", [])
    begins_s = info.get("format", {}).get("start_time")
    if len(streams) > MAX_TRACKS:
        raise MediaTooComplex(f"The file has {len(streams)} tracks; {MAX_TRACKS} are allowed.")
    streams.sort(key=lambda stream: not stream.get("disposition", {}).get("default"))
    tracks = tuple(track for stream in streams if (track := _track(stream, begins_s)))
    if not tracks:
        raise Undecodable("The file holds neither sound nor moving picture.")
    duration = _number(info.get("format", {}).get("duration"))
    if duration is None:  # what a browser records, or what was cut off while it was written
        duration = _last_time_s(command, path, limits)
    return Media(container=container, duration_s=duration, tracks=tracks)


def _last_time_s(command: list[str], path: Path, limits: DecodeLimits) -> float | None:
    """Return the time at which the last packet ends, from the first one on; None without times."""
    wanted = ("-show_entries", "packet=pts_time,duration_time", "-of", "csv=p=0", f"file:{path}")
    first, last = math.inf, -math.inf
    with Child([*command, *wanted], limits) as child:
        for line in child.stdout:
            pts, _, length = line.decode().strip().partition(",")
            if (time_s := _number(pts)) is not None:
                first = min(first, time_s)
                last = max(last, time_s + (_number(length.rstrip(",")) or 0.0))
        child.finish()
    return last - first if last > first else None


def _track(stream: dict[str, Any], begins_s: str | None = None) -> Track | None:
    """Build the record of one ffprobe stream of a file that begins at a time of its own clock.

    Covers, subtitles and data are None.
    """
    kind = stream.get("codec_type")
    if kind not in ("audio", "video") or stream.get("disposition", {}).get("attached_pic"):
        return None
    width, height = stream.get("width"), stream.get("height")
    if width and height and width * height > MAX_PIXELS:
        raise MediaTooComplex(f"The picture has {width} x {height} pixels; that is too large.")
    rotation = next(
        (int(item["rotation"]) for item in stream.get("side_data_list", []) if "rotation" in item),
        0,
    )
    return Track(
        index=stream["index"],
        kind=kind,
        codec=stream.get("codec_name", "unknown"),
        duration_s=_number(stream.get("duration")),
        frames=_integer(stream.get("nb_frames")),
        sample_rate=_integer(stream.get("sample_rate")),
        channels=stream.get("channels"),
        width=_shown_width(width, stream.get("sample_aspect_ratio")),
        height=height,
        fps=_rate(stream.get("avg_frame_rate")) or _base_rate(stream.get("r_frame_rate")),
        rotation_deg=rotation % 360,
        pixel_format=stream.get("pix_fmt"),
        bit_rate=_integer(stream.get("bit_rate")),
        start_s=_between_s(begins_s, stream.get("start_time")),
    )


def _number(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None


def _between_s(first: str | None, second: str | None) -> float:
    """Return the seconds from one time to a later one; 0 where either is not known."""
    try:
        return max(0.0, float(second or "") - float(first or ""))
    except ValueError:
        return 0.0


def _shown_width(width: int | None, aspect: str | None) -> int | None:
    """Return the width in square pixels, as players show it; an absurd aspect is left alone."""
    ratio = _rate((aspect or "").replace(":", "/"))
    if width is None or ratio is None or not 1 / _MOST_ASPECT <= ratio <= _MOST_ASPECT:
        return width
    return max(2, round(width * ratio))


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and str(text).isdigit() else None


def _base_rate(text: str | None) -> float | None:
    """Return ffmpeg's guess at a rate; one of uneven pictures is that of the container's clock."""
    rate = _rate(text)
    return rate if rate and rate <= _MOST_FPS else None


def _rate(text: str | None) -> float | None:
    try:
        return float(Fraction(text)) or None if text else None
    except (ValueError, ZeroDivisionError):
        return None


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
        block_s: float = 10.0,
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
        sound = open_input(path, media, track)
        if channel is not None:
            sound = sound.filter("channelmap", map=channel, channel_layout="mono")
        self._command = compile_quiet(
            sound.filter("aresample", PCM_RATE, **{"async": 1, "first_pts": 0}),
            media,
            track,
            format="f32le",
            acodec="pcm_f32le",
            ac=1,
            ar=PCM_RATE,
            t=MAX_DECODED_S,
        )
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
                block = np.frombuffer(data[: len(data) // 4 * 4], dtype="<f4")
                samples += block.size
                yield np.clip(np.nan_to_num(block), -_LOUDEST, _LOUDEST)
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
