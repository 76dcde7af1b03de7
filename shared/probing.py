"""What a container says of itself and its tracks, read by a limited ffprobe child.

The demuxer is fixed by the content of the file (`sniff`), so that ffprobe never guesses: a playlist
or a concat script in an .mp4 is refused before a demuxer sees it.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

from shared.containers import sniff_file
from shared.decoder import DEFAULT_LIMITS, PROTOCOLS, Child, DecodeLimits
from shared.errors import MediaTooComplex, Undecodable
from shared.records import Media, Track

#: Largest coded picture, and most tracks, that are decoded at all.
MAX_PIXELS = 8192 * 4352
MAX_TRACKS = 32
#: No camera takes more pictures a second without saying so.
_MOST_FPS = 240.0
#: Pixels wider or narrower than this are a mistake of the file.
_MOST_ASPECT = 4.0


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
