"""Every packet and every picture of a track, cheaply: sizes and times, and small grey pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.decoder import (
    DEFAULT_LIMITS,
    PROTOCOLS,
    SHOWINFO,
    Child,
    DecodeLimits,
    compile_quiet,
    open_input,
)
from shared.errors import Undecodable
from shared.media import MAX_DECODED_S, scaled_size
from shared.records import Media, Track

#: Packets of a track that are read at most (4 h at 60/s).
MAX_PACKETS = 4 * 3600 * 60
_FIELDS = ("pts_time", "dts_time", "duration_time", "size", "flags")


@dataclass(frozen=True)
class Packets:
    """What the container says about the packets of one track, in decoding order.

    Attributes:
        pts_s: Presentation times in seconds; NaN where the container has none.
        dts_s: Decoding times in seconds; NaN where the container has none.
        duration_s: Durations in seconds; 0 where the container has none.
        size_bytes: Sizes.
        key: Which packets start a group of pictures.
        hidden: Which packets are decoded but not shown (an edit list cuts them away).
        cut_short: Whether the track has more packets than were read.
    """

    pts_s: NDArray[np.float64]
    dts_s: NDArray[np.float64]
    duration_s: NDArray[np.float64]
    size_bytes: NDArray[np.int64]
    key: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    cut_short: bool = False

    def __len__(self) -> int:
        """Return the number of packets."""
        return int(self.size_bytes.size)


def read_packets(
    path: Path,
    media: Media,
    track: Track,
    *,
    limits: DecodeLimits = DEFAULT_LIMITS,
    max_packets: int = MAX_PACKETS,
) -> Packets:
    """Read time, size and flags of every packet of a track without decoding it.

    Times count from the start of the file.

    Raises:
        Undecodable: The container has not one packet of the track.
        DecoderTimeout: The reading did not finish in time.
    """
    command = [
        *("ffprobe", "-v", "error", "-f", media.container, "-protocol_whitelist", PROTOCOLS),
        *("-select_streams", str(track.index)),
        *("-show_entries", f"packet={','.join(_FIELDS)}:format=start_time"),
        *("-of", "compact=p=0:nk=0", f"file:{path}"),
    ]
    rows: list[tuple[float, float, float, float]] = []
    flags: list[str] = []
    cut_short, begins_s = False, float("nan")
    with Child(command, limits) as child:
        for line in child.stdout:
            packet = dict(item.split("=", 1) for item in line.decode().strip().split("|") if item)
            if "start_time" in packet:  # comes last
                begins_s = _seconds(packet["start_time"])
            if "size" not in packet:
                continue
            if len(rows) == max_packets:
                cut_short = True
                break
            pts, dts, duration, size = (_seconds(packet.get(name)) for name in _FIELDS[:4])
            rows.append((pts, dts, 0.0 if np.isnan(duration) else duration, size))
            flags.append(packet.get("flags", ""))
        if not cut_short:
            child.finish()
        if not rows:
            raise Undecodable(f"The track has no packets: {child.last_error()}.")
    table = np.asarray(rows, dtype=np.float64)
    if np.isnan(table[:, 0]).all():  # AVI has no presentation times where pictures are reordered
        table[:, 0] = table[:, 1]
    if not np.isfinite(begins_s) and np.isfinite(table[:, 0]).any():
        begins_s = float(np.nanmin(table[:, 0]))
    if np.isfinite(begins_s):  # as the decoder counts for the pictures
        table[:, :2] -= begins_s
    return Packets(
        pts_s=table[:, 0],
        dts_s=table[:, 1],
        duration_s=table[:, 2],
        size_bytes=table[:, 3].astype(np.int64),
        key=np.asarray(["K" in text for text in flags]),
        hidden=np.asarray(["D" in text for text in flags]),
        cut_short=cut_short,
    )


def _seconds(text: str | None) -> float:
    """Return a number of ffprobe's; NaN where there is none."""
    return float(text) if text and text != "N/A" else float("nan")


class GreyReader:
    """Stream every picture of a track, small and grey, with its true time; iterate once.

    Attributes:
        size: Width and height of the pictures, in pixels.
        decode_errors: Errors that the decoder reported, complete after iteration.
    """

    def __init__(
        self,
        path: Path,
        media: Media,
        track: Track,
        *,
        max_side_px: int,
        max_frames: int,
        limits: DecodeLimits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare the reader; nothing runs before the first picture is asked for.

        Raises:
            Undecodable: The picture has no size.
        """
        self.size = scaled_size(track, max_side_px)
        stream = open_input(path, media, track)
        stream = stream.filter("scale", *self.size, flags="area").filter("format", "gray")
        self._command = compile_quiet(
            stream.filter("showinfo", checksum=0),
            media,
            track,
            format="rawvideo",
            pix_fmt="gray",
            fps_mode="passthrough",
            t=MAX_DECODED_S,
            **{"frames:v": max_frames},
        )
        self._limits = limits
        self.decode_errors = 0

    def __iter__(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Yield time in seconds and picture, uint8 of shape (height, width), in order.

        Raises:
            Undecodable: Not one picture came out.
            DecoderTimeout: The decoder did not finish in time.
        """
        width, height = self.size
        count = 0
        with Child(self._command, self._limits, SHOWINFO) as child:
            while len(data := child.stdout.read(width * height)) == width * height:
                picture = np.frombuffer(data, dtype=np.uint8).reshape(height, width)
                yield child.next_time_s(), picture
                count += 1
            child.finish()
            self.decode_errors = child.errors
            if count == 0:
                raise Undecodable(f"The picture could not be decoded: {child.last_error()}.")
