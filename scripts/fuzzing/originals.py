"""The real files that mutations begin with: eight containers around a talking face."""

from __future__ import annotations

import subprocess
from pathlib import Path

#: The clip in them, in the order of time: a face that talks.
SOURCE = Path(__file__).parents[2] / "workers" / "samples" / "bona_fide.mp4"
_H264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "12")
_RECIPES: dict[str, tuple[str, ...]] = {
    "mp4": (*_H264, "-c:a", "aac", "-movflags", "+faststart"),
    "mov": ("-c:v", "mpeg4", "-q:v", "8", "-c:a", "pcm_s16le"),
    "mkv": (*_H264, "-c:a", "flac"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"),
    "avi": ("-c:v", "mjpeg", "-q:v", "12", "-c:a", "pcm_s16le"),
    "wav": ("-vn",),
    "mp3": ("-vn", "-c:a", "libmp3lame", "-b:a", "48k"),
    "ogg": ("-vn", "-c:a", "libvorbis"),
}


def make(directory: Path) -> dict[str, bytes]:
    """Make one file of each kind, two seconds long, and return their content by suffix."""
    contents = {}
    for suffix, recipe in _RECIPES.items():
        path = directory / f"original.{suffix}"
        command = ["ffmpeg", "-y", "-nostdin", "-v", "error", "-t", "2", "-i", str(SOURCE)]
        shape = ("-vf", "scale=192:-2,fps=12", "-ar", "16000", "-ac", "1", "-bitexact")
        options = shape if "-vn" not in recipe else shape[2:]
        subprocess.run([*command, *options, *recipe, str(path)], check=True)
        contents[suffix] = path.read_bytes()
        path.unlink()
    return contents
