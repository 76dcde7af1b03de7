"""What our readers spend on pictures and sound, beside plain ffmpeg, OpenCV and PyAV."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2

from benching import inputs
from benching.showing import Bars, Table
from benching.spending import Spent, measured
from shared.media import FrameReader, PcmReader, Sampling
from shared.onepass import OnePassReader
from shared.probing import probe
from shared.records import Media, Track

NAMES = (
    "phone 1080p30 H.264, 10 s",
    "1080p30 H.264, 8 Mbit/s, 10 s",
    "720p30 H.264, 5 Mbit/s, 10 s",
    "phone 720p30 HEVC",
    "variable rate 720p H.264",
    "10-minute talk 720p H.264",
    "long groups 720p H.264",
    "webm 360p VP8",
)
QUICK = ("short 360p H.264",)
#: Longest recording that the ways which decode everything are put through.
_WHOLE_S = 60.0
_SAMPLE_EVERY, _GREY_PX, _MOST = 30, 64, 9_000


def options(parser: argparse.ArgumentParser) -> None:
    """Nothing to choose."""
    del parser


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Decode each recording in each way, the ways in turn.

    Returns:
        CPU seconds and seconds on the clock by recording and way, and bytes read over HTTP.
    """
    rows: list[dict[str, Any]] = []
    read: list[dict[str, Any]] = []
    for name in QUICK if args.quick else NAMES:
        item = inputs.make(name, args.inputs)
        media = probe(item.path)
        (track,) = media.of_kind("video")
        for way, work in _ways(item.path, media, track).items():
            if item.duration_s > _WHOLE_S and "every picture" in way:
                continue
            spent, count = measured(work)
            rows.append(_row(name, way, spent, count, item.duration_s))
        read.append(_bytes_read(item))
    return {"rows": rows, "bytes": read}


def _row(name: str, way: str, spent: Spent, count: int, duration_s: float) -> dict[str, Any]:
    return {
        "recording": name,
        "way": way,
        "CPU s": round(spent.cpu_s, 3),
        "CPU s / media s": round(spent.cpu_s / duration_s, 4),
        "clock s": round(spent.wall_s, 2),
        "pictures": count,
    }


def _ways(path: Path, media: Media, track: Track) -> dict[str, Callable[[], int]]:
    """Return the ways to see pictures, each to be called and to count them."""
    sampled = Sampling(every=_SAMPLE_EVERY)
    keys = Sampling(every=1, keyframes_only=True)
    ways = {
        "reference: ffmpeg, every picture, thrown away": partial(_ffmpeg, path),
        "ours: every picture small, each 30th large": lambda: len(
            list(
                OnePassReader(
                    *(path, media, track, sampled),
                    max_frames=480,
                    grey_side_px=_GREY_PX,
                    max_greys=_MOST,
                )
            )
        ),
        "reference: OpenCV, every picture": partial(_opencv, path),
        "reference: ffmpeg, key pictures": partial(_ffmpeg, path, "-skip_frame", "nokey"),
        "ours: key pictures": lambda: len(list(FrameReader(path, media, track, keys))),
        "ours: sound": lambda: _sound(path, media),
        "reference: ffmpeg, sound": partial(_ffmpeg, path, kind="a"),
    }
    if importlib.util.find_spec("av"):
        ways["reference: PyAV, every picture"] = partial(_pyav, path)
    return ways


def _ffmpeg(path: Path, *options: str, kind: str = "v") -> int:
    command = ["ffmpeg", "-nostdin", "-v", "error", *options, "-i", str(path)]
    subprocess.run([*command, "-map", f"0:{kind}:0", "-f", "null", "-"], check=True)
    return 0


def _sound(path: Path, media: Media) -> int:
    (track,) = media.of_kind("audio")
    for _ in PcmReader(path, media, track):
        pass
    return 0


def _opencv(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def _pyav(path: Path) -> int:
    import av  # noqa: PLC0415  # only where it is installed

    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(
            1 for frame in container.decode(video=0) if frame.to_ndarray(format="bgr24").size
        )


class _Ranges(BaseHTTPRequestHandler):
    """Serves one file by range, as S3 does, and counts what leaves."""

    protocol_version = "HTTP/1.1"
    path_served: Path
    sent = 0
    requests = 0

    def do_GET(self) -> None:
        """Answer with a range."""
        size = self.path_served.stat().st_size
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(first or 0), min(int(last or size - 1), size - 1)
        type(self).requests += 1
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        with self.path_served.open("rb") as file:
            file.seek(start)
            left = end - start + 1
            try:
                while left and (data := file.read(min(65_536, left))):
                    self.wfile.write(data)
                    type(self).sent += len(data)
                    left -= len(data)
            except OSError:
                self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def _served(path: Path) -> Iterator[tuple[str, type[_Ranges]]]:
    handler = type("Handler", (_Ranges,), {"path_served": path, "sent": 0, "requests": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/media", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _bytes_read(item: inputs.Input) -> dict[str, Any]:
    """Measure how much of an object a decoder reads that reads by range instead of a download."""
    size = item.path.stat().st_size
    row: dict[str, Any] = {"recording": item.name, "object MB": round(size / 1e6, 1)}
    wanted = {"sound": ("-map", "0:a:0"), "key pictures": ("-map", "0:v:0")}
    for what, chosen in wanted.items():
        skip = ("-skip_frame", "nokey", "-discard", "nokey") if what == "key pictures" else ()
        with _served(item.path) as (url, handler):
            command = ["ffmpeg", "-nostdin", "-v", "error", *skip, "-i", url, *chosen]
            subprocess.run([*command, "-f", "null", "-"], check=True)
            row[f"{what}: share read"] = round(handler.sent / size, 3)
            row[f"{what}: requests"] = handler.requests
    return row


def tables(result: dict[str, Any]) -> list[Table]:
    """Lay out what was found."""
    return [
        Table("CPU time of one decode", result["rows"]),
        Table("Bytes read by range instead of one download", result["bytes"]),
    ]


def bars(result: dict[str, Any]) -> Bars:
    """Draw the ways for the first recording."""
    first = result["rows"][0]["recording"]
    values = {row["way"]: row["CPU s / media s"] for row in result["rows"]
              if row["recording"] == first}  # fmt: skip
    return Bars(f"Decoding: {first}", "CPU s a media second", values)
