"""Makes the files that are uploaded: clips, sound, silence, damage, and what is no media at all."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.settings import UPLOADS_PREFIX
from workers.samples import SAMPLES

#: Length of the clips in seconds; a sample has eight.
CLIP_S = 2.2
_LATEST_START_S = 5.5
#: Part of an MP4 that is overwritten where a file is to be damaged, from its middle on, in bytes.
_DAMAGE_BYTES = 600
_SYNTHETIC = "testsrc2=size=160x120:rate=8"


@dataclass(frozen=True)
class File:
    """One file to upload.

    Attributes:
        kind: The recipe that made it.
        key: Where it goes.
        path: Where it lies; several files may share one.
    """

    kind: str
    key: str
    path: Path


def make(directory: Path, count: int, rng: random.Random) -> list[File]:
    """Make files of every kind in turn; each differs from the others of its kind.

    Args:
        directory: Where to put them.
        count: How many.
        rng: Where they differ.
    """
    files: list[File] = []
    for index in range(count):
        kind = KINDS[index % len(KINDS)]
        path = directory / f"{index:04d}-{kind}"
        if kind == "again":
            path = files[rng.randrange(len(files))].path
        else:
            _RECIPES[kind](path, rng)
        prefix = "elsewhere/" if kind == "outside" else UPLOADS_PREFIX
        files.append(File(kind, f"{prefix}{index:04d} {kind}+ü.bin", path))
    return files


def _ffmpeg(*arguments: str, output: Path, container: str) -> None:
    command = ["ffmpeg", "-v", "error", "-y", *arguments, "-bitexact", "-f", container]
    subprocess.run([*command, str(output)], check=True)


def _cut(sample: Path, rng: random.Random) -> tuple[str, ...]:
    start_s = rng.uniform(0, _LATEST_START_S)
    return ("-ss", f"{start_s:.3f}", "-t", str(CLIP_S), "-i", str(sample))


def _clip(sample: Path) -> Callable[[Path, random.Random], None]:
    def make_one(path: Path, rng: random.Random) -> None:
        picture = ("-vf", f"scale={rng.choice((192, 200, 208))}:-2,fps=8", "-preset", "ultrafast")
        _ffmpeg(*_cut(sample, rng), *picture, output=path, container="mp4")

    return make_one


def _sound(container: str) -> Callable[[Path, random.Random], None]:
    def make_one(path: Path, rng: random.Random) -> None:
        sound = (*_cut(rng.choice(SAMPLES), rng), "-vn", "-ar", "16000")
        _ffmpeg(*sound, output=path, container=container)

    return make_one


def _silent_picture(path: Path, rng: random.Random) -> None:
    source = ("-f", "lavfi", "-i", f"{_SYNTHETIC}:duration={rng.uniform(1.1, 1.4):.3f}")
    _ffmpeg(*source, "-preset", "ultrafast", output=path, container="mp4")


def _picture_with_tone(path: Path, rng: random.Random) -> None:
    tone = f"sine=frequency={rng.randrange(200, 2000)}:duration=1.3"
    sources = ("-f", "lavfi", "-i", f"{_SYNTHETIC}:duration=1.3", "-f", "lavfi", "-i", tone)
    _ffmpeg(*sources, "-preset", "ultrafast", output=path, container="matroska")


def _text(path: Path, rng: random.Random) -> None:
    path.write_text(f"This is no recording, and its number is {rng.randrange(10**9)}.\n" * 3)


def _empty(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def _truncated(path: Path, rng: random.Random) -> None:
    _clip(SAMPLES[0])(path, rng)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * rng.uniform(0.2, 0.8))])


def _damaged(path: Path, rng: random.Random) -> None:
    _sound("wav")(path, rng)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + _DAMAGE_BYTES] = rng.randbytes(_DAMAGE_BYTES)
    path.write_bytes(content)


_RECIPES: dict[str, Callable[[Path, random.Random], None]] = {
    "genuine": _clip(SAMPLES[0]),
    "forged": _clip(SAMPLES[1]),
    "wav": _sound("wav"),
    "mp3": _sound("mp3"),
    "ogg": _sound("ogg"),
    "silent_picture": _silent_picture,
    "picture_with_tone": _picture_with_tone,
    "text": _text,
    "empty": _empty,
    "truncated": _truncated,
    "damaged": _damaged,
    "outside": _text,
}
#: In the order in which they are uploaded; "again" repeats the content of an earlier one.
KINDS = (*_RECIPES, "again")
