"""The recordings that are measured, made once with ffmpeg from the sample clip and kept."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workers.samples import SAMPLES

#: A person before a background, both moving, with the grain of a small sensor.
_SCENE = (
    "[0:v]fps={rate},split[far][near];"
    "[far]scale={far}:{far}:flags=fast_bilinear,crop={width}:{height}:"
    "x='(iw-ow)/2*(1+0.9*sin(t))':y='(ih-oh)/2*(1+0.5*sin(1.3*t))'[back];"
    "[near]scale={near}:{near}:flags=fast_bilinear[person];"
    "[back][person]overlay=x='(W-w)/2*(1+0.15*sin(1.7*t))':y='(H-h)/2*(1+0.4*sin(2.3*t))',"
    "noise=c0s=6:c0f=t[v]"
)
#: The tools that phones use: whole arithmetic coding and deblocking, no B pictures.
_H264 = ("-c:v", "libx264", "-preset", "superfast", "-bf", "0")
_SOUND = ("-c:a", "aac", "-b:a", "128k")


@dataclass(frozen=True)
class Input:
    """One recording.

    Attributes:
        name: What it is like.
        path: Where it lies.
        duration_s: Its length, in seconds.
    """

    name: str
    path: Path
    duration_s: float


def _scene(width: int, height: int, rate: int = 30) -> str:
    return _SCENE.format(
        width=width, height=height, rate=rate, far=round(width * 1.1), near=round(height * 0.8)
    )


def _ffmpeg(path: Path, *arguments: str) -> None:
    """Run ffmpeg into a file that appears when it is complete."""
    part = path.with_name(f"part-{path.name}")
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments, str(part)]
    subprocess.run(command, check=True)
    part.rename(path)


def _filmed(width: int, height: int, *codec: str, scene: str = "") -> Callable[[Path, float], None]:
    """Return a recipe that films the scene for so many seconds."""

    def make_one(path: Path, duration_s: float) -> None:
        _ffmpeg(
            path,
            *("-stream_loop", "-1", "-i", str(SAMPLES[0])),
            *("-filter_complex", scene or _scene(width, height), "-map", "[v]", "-map", "0:a"),
            *codec,
            *("-t", str(duration_s)),
        )

    return make_one


def _repeated(of: str) -> Callable[[Path, float], None]:
    """Return a recipe that repeats another recording without encoding it again."""

    def make_one(path: Path, duration_s: float) -> None:
        source = make(of, path.parent).path
        loop = ("-stream_loop", "-1", "-i", str(source), "-c", "copy")
        _ffmpeg(path, *loop, "-t", str(duration_s))

    return make_one


def _speech_of(rate: int) -> Callable[[Path, float], None]:
    """Return a recipe for sound alone, at a bit rate."""

    def make_one(path: Path, duration_s: float) -> None:
        sound = ("-stream_loop", "-1", "-i", str(SAMPLES[0]), "-vn", "-c:a", "aac")
        _ffmpeg(path, *sound, "-b:a", str(rate), "-t", str(duration_s))

    return make_one


def _of_size(megabytes: int) -> Callable[[Path, float], None]:
    """Return a recipe for a small picture at a bit rate that makes a file of a given size."""

    def make_one(path: Path, duration_s: float) -> None:
        rate = round(megabytes * 8e6 / duration_s) - 64_000
        codec = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency")
        limits = ("-b:v", str(rate), "-minrate", str(rate), "-maxrate", str(rate))
        filler = ("-bufsize", str(rate), "-x264-params", "nal-hrd=cbr", *_SOUND[:2], "-b:a", "64k")
        _filmed(320, 240, *codec, *limits, *filler)(path, duration_s)

    return make_one


#: The scene with three of ten pictures left out, unevenly.
_VARYING = _scene(1280, 720).removesuffix("[v]") + ",select='gt(mod(n*7,10),2)'[v]"
#: Name, file, seconds and recipe of each.
_RECIPES: dict[str, tuple[str, float, Callable[[Path, float], None]]] = {
    "1080p30 H.264, 8 Mbit/s": ("1080.mp4", 60.0, _repeated("1080p30 H.264, 8 Mbit/s, 10 s")),
    "720p30 H.264, 5 Mbit/s": ("720.mp4", 60.0, _repeated("720p30 H.264, 5 Mbit/s, 10 s")),
    "1080p30 H.264, 8 Mbit/s, 10 s": (
        "1080-10.mp4",
        10.0,
        _filmed(1920, 1080, *_H264, "-g", "60", "-b:v", "8M", *_SOUND),
    ),
    "720p30 H.264, 5 Mbit/s, 10 s": (
        "720-10.mp4",
        10.0,
        _filmed(1280, 720, *_H264, "-g", "60", "-b:v", "5M", *_SOUND),
    ),
    "phone 1080p30 H.264": ("phone-1080.mp4", 60.0, _repeated("phone 1080p30 H.264, 10 s")),
    "phone 720p30 H.264": ("phone-720.mp4", 60.0, _repeated("phone 720p30 H.264, 10 s")),
    "phone 1080p30 H.264, 10 s": (
        "phone-1080-10.mp4",
        10.0,
        _filmed(1920, 1080, *_H264, "-g", "30", "-b:v", "17M", *_SOUND),
    ),
    "phone 720p30 H.264, 10 s": (
        "phone-720-10.mp4",
        10.0,
        _filmed(1280, 720, *_H264, "-g", "30", "-b:v", "8M", *_SOUND),
    ),
    "phone 720p30 HEVC": (
        "phone-hevc.mp4",
        10.0,
        _filmed(
            *(1280, 720, "-c:v", "libx265", "-preset", "ultrafast", "-b:v", "5M"),
            *("-x265-params", "log-level=error", "-tag:v", "hvc1", *_SOUND),
        ),
    ),
    "variable rate 720p H.264": (
        "uneven-720.mp4",
        10.0,
        _filmed(*(1280, 720, *_H264, "-b:v", "6M", "-fps_mode", "vfr", *_SOUND), scene=_VARYING),
    ),
    "long groups 720p H.264": (
        "long-groups-720.mp4",
        20.0,
        _filmed(
            *(1280, 720, "-c:v", "libx264", "-preset", "superfast", "-g", "1200"),
            *("-sc_threshold", "0", "-b:v", "3M", *_SOUND),
        ),
    ),
    "10-minute talk 720p H.264": ("talk-720.mp4", 600.0, _repeated("call 720p H.264")),
    "call 720p H.264": (
        "call-720.mp4",
        15.0,
        _filmed(1280, 720, "-c:v", "libx264", "-preset", "superfast", "-b:v", "2M", *_SOUND),
    ),
    "webm 360p VP8": (
        "web-360.webm",
        15.0,
        _filmed(
            *(640, 360, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
            *("-b:v", "1M", "-c:a", "libopus", "-b:a", "64k"),
        ),
    ),
    "short 360p H.264": (
        "short-360.mp4",
        2.0,
        _filmed(640, 360, *_H264, "-b:v", "1M", *_SOUND),
    ),
    "voice message 30 s": ("voice-30.m4a", 30.0, _speech_of(64_000)),
    "voice recording 10 min": ("voice-600.m4a", 600.0, _speech_of(64_000)),
    "voice recording 1 h": ("voice-3600.m4a", 3600.0, _speech_of(64_000)),
    "10 MB, 72 s": ("size-10.mp4", 72.0, _of_size(10)),
    "500 MB, one hour": ("size-500.mp4", 3600.0, _repeated("10 MB, 72 s")),
    "8 MB, one hour": ("size-8-hour.m4a", 3600.0, _speech_of(16_000)),
}


def make(name: str, directory: Path) -> Input:
    """Return a recording, made now if it is not there yet.

    Raises:
        KeyError: There is no recipe of that name.
    """
    file, duration_s, recipe = _RECIPES[name]
    path = directory / file
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        recipe(path, duration_s)
    return Input(name, path, duration_s)
