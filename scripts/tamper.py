"""Make clips whose frames were tampered with, untouched ones beside them, and their manifest.

    python scripts/tamper.py SOURCES OUT --clips 600 --half test

SOURCES is a directory with videos, at any depth; a `manifest.csv` in it or above it (columns `file`
and `group`) says which of them belong together, and (column `label`) which are fake: systems that
move lips show pictures again and jump, so `--genuine` leaves them out. Groups are split into a
development and a test half by a digest of their name. Sources come in the order of their names,
each once for every type, so few clips show few sources. Every clip has one tampering at a random
place, of a random length, and is compressed once more with a random quality (CRF 18 to 32). The
manifest of the clips has one row a clip: file, label (a type of finding, or none), start_s, end_s,
kind, source, group, crf. A tampering without extent (frames deleted, a splice) has the span 0.2 s
before and after it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
import shutil
import subprocess
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from training.tamperings import FPS, TAMPERINGS, UNTOUCHED, Maker, Plan

FFMPEG, FFPROBE = (shutil.which(tool) or tool for tool in ("ffmpeg", "ffprobe"))
SYNTHETIC = {
    "testsrc2": "testsrc2=size=320x240:rate=25:duration=8",
    "mandelbrot": "mandelbrot=size=320x240:rate=25:start_scale=1:end_scale=0.02:end_pts=250",
    "gradients": "gradients=size=320x240:rate=25:speed=0.05:seed=7:duration=8",
}


@dataclass(frozen=True)
class Source:
    """A video to tamper with; `graph` is a lavfi source where there is no file."""

    name: str
    group: str
    path: Path | None = None
    graph: str | None = None


Frames = NDArray[np.uint8]


def run(*command: str, data: bytes | None = None) -> bytes:
    """Run ffmpeg and return what it wrote to its standard output."""
    done = subprocess.run(
        [FFMPEG, "-y", "-v", "error", "-threads", "1", *command],
        input=data,
        stdout=subprocess.PIPE,
        check=True,
    )
    return done.stdout


@lru_cache(maxsize=3)
def read(source: Source, size: tuple[int, int]) -> Frames:
    """Decode a source to yuv420p, uint8 of shape (frames, height * 3 / 2, width)."""
    width, height = size
    given = ["-f", "lavfi", "-i", source.graph] if source.graph else ["-i", str(source.path)]
    raw = run(
        *given,
        *("-vf", f"fps={FPS},scale={width}:{height}", "-pix_fmt", "yuv420p", "-t", "8"),
        *("-f", "rawvideo", "-"),
    )
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, height * 3 // 2, width)


@lru_cache
def length_of(source: Source, size: tuple[int, int]) -> int:
    """Return how many frames a source has."""
    return len(read(source, size))


@lru_cache
def size_of(source: Source, side: int) -> tuple[int, int]:
    """Return width and height that a source is used with, even, `side` at most."""
    if source.path is None:
        return 320, 240
    text = subprocess.run(
        [
            *(FFPROBE, "-v", "error", "-select_streams", "v:0", "-of", "csv=p=0"),
            *("-show_entries", "stream=width,height", str(source.path)),
        ],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    width, height = (int(part) for part in text.strip().split(",")[:2])
    scale = min(1.0, side / max(width, height))
    return int(width * scale) // 2 * 2, int(height * scale) // 2 * 2


def encode(frames: Frames, out: Path, *options: str) -> None:
    """Compress frames with x264."""
    _, rows, width = frames.shape
    run(
        *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{rows * 2 // 3}"),
        *("-r", str(FPS), "-i", "-", "-c:v", "libx264", "-preset", "veryfast"),
        *options,
        str(out),
        data=frames.tobytes(),
    )


# --- putting clips together ---------------------------------------------------------------------


def faded(frames: Frames, foreign: Frames) -> Frames:
    """Fade in over 12 frames, cross over to another recording in the middle, fade out."""
    count = min(len(frames), len(foreign))  # nothing is shown twice
    half = count // 2
    out: NDArray[np.floating] = frames[:count].astype(np.float32)
    weight = np.clip((np.arange(count) - half + 8) / 16, 0, 1)[:, None, None]
    out = out * (1 - weight) + foreign[:count] * weight
    level = np.clip(np.minimum(np.arange(count), count - 1 - np.arange(count)) / 12, 0, 1)
    height = frames.shape[1] * 2 // 3
    out[:, :height] = 16 + (out[:, :height] - 16) * level[:, None, None]
    out[:, height:] = 128 + (out[:, height:] - 128) * level[:, None, None]
    return out.astype(np.uint8)


def shaken(frames: Frames, seed: int) -> Frames:
    """Move a window over the frames as an unsteady hand moves a camera: drift, sway and tremor."""
    count, rows, width = frames.shape
    height = rows * 2 // 3
    rng = np.random.default_rng(seed)
    room = min(width, height) // 12 // 2 * 2
    path = np.stack([wander(rng, count, 45, 0.5) + wander(rng, count, 9, 0.12) for _ in range(2)])
    path += np.stack([wander(rng, count, 1, 0.006) for _ in range(2)])
    corners = np.clip((path.T + 1) * room / 2, 0, room)  # in fractions of a pixel
    wide, high = width - room, height - room
    out = np.empty((count, high * 3 // 2, wide), np.uint8)
    for frame, corner, target in zip(frames, corners, out, strict=True):
        target[:high] = window(frame[:height], corner, (wide, high))
        colours = frame[height:].reshape(2, height // 2, width // 2)
        parts = [window(colour, corner / 2, (wide // 2, high // 2)) for colour in colours]
        target[high:] = np.stack(parts).reshape(-1, wide)
    return out


def window(plane: Frames, corner: NDArray[np.float64], size: tuple[int, int]) -> Frames:
    """Cut a window of (width, height) out of a plane, from a corner between the pixels on."""
    move = np.array([[1, 0, corner[0]], [0, 1, corner[1]]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(plane, move, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cut, dtype=np.uint8)


def wander(rng: np.random.Generator, count: int, smooth: int, size: float) -> NDArray[np.float64]:
    """Return a smooth random path of a standard deviation of `size`."""
    raw = rng.normal(size=count + 6 * smooth)
    window = np.exp(-0.5 * np.square(np.arange(-3 * smooth, 3 * smooth + 1) / smooth))
    path = np.convolve(raw, window / np.sqrt(np.square(window).sum()), mode="valid")
    return np.asarray(path[:count] * size)


def recompressed(frames: Frames, scratch: Path, *options: str) -> Frames:
    """Return frames after one more compression."""
    encode(frames, scratch, *options)
    _, rows, width = frames.shape
    raw = run("-i", str(scratch), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
    scratch.unlink()
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, rows, width)


def render(plan: Plan, frames: Frames, foreign: Frames, out: Path, crf: int) -> None:
    """Write one clip."""
    scratch = out.with_name(f"{out.stem}.scratch.mp4")
    pools = {0: frames, 1: foreign}
    if any(source == 2 for source, _ in plan.order):
        pools[2] = recompressed(frames, scratch, "-crf", str(min(38, crf + 8)), "-preset", "fast")
    if any(source == 3 for source, _ in plan.order):
        pools[3] = faded(frames, foreign)
    shown = [(source, index) for source, index in plan.order if index < len(pools[source])]
    clip = np.stack([pools[source][index] for source, index in shown])
    for frame, (level, share) in plan.light.items():
        lines = clip[frame, : round(share * (clip.shape[1] * 2 // 3))]
        lines[:] = np.minimum(lines.astype(int) + level, 235)
    if plan.shake is not None:
        clip = shaken(clip, plan.shake)
    if plan.first_pass:
        clip = recompressed(clip, scratch, *plan.first_pass)
    options = ["-crf", str(crf)]
    if plan.drop:
        left_out = "+".join(f"eq(n\\,{index})" for index in sorted(plan.drop))
        options += ["-vf", f"select=not({left_out})", "-fps_mode", "vfr"]
    if plan.join is not None:
        join(clip, plan.join, out, crf)
    elif plan.packet_filter or plan.trim_s is not None:
        encode(clip, scratch, *options, "-g", "50")
        before = [] if plan.trim_s is None else ["-ss", f"{plan.trim_s:.3f}"]
        after = ["-bsf:v", plan.packet_filter] if plan.packet_filter else []
        run(*before, "-i", str(scratch), "-c", "copy", *after, str(out))
        scratch.unlink()
    else:
        encode(clip, out, *options)


def join(clip: Frames, at: int, out: Path, crf: int) -> None:
    """Compress two parts with other settings and join the streams without decoding them."""
    parts = [out.with_name(f"{out.stem}.{side}.mp4") for side in ("left", "right")]
    fixed = ("-crf", str(crf), "-sc_threshold", "0")
    encode(clip[:at], parts[0], *fixed, "-g", "12", "-bf", "0")
    encode(clip[at:], parts[1], *fixed, "-g", "20", "-bf", "2")
    script = out.with_suffix(".txt")
    script.write_text("".join(f"file '{part.resolve()}'\n" for part in parts))
    run("-f", "concat", "-safe", "0", "-i", str(script), "-c", "copy", str(out))
    for path in (*parts, script):
        path.unlink()


def sources_in(
    directory: Path, half: str, without: Container[str], *, genuine: bool
) -> list[Source]:
    """List the sources of one half: all, development or test.

    Args:
        directory: Where they are.
        half: Which half.
        without: Names of files that are left out.
        genuine: Leave out what the manifest calls fake, and graphics.
    """
    groups: dict[Path, str] = {}
    fakes: set[Path] = set()
    for manifest in (directory / "manifest.csv", directory.parent / "manifest.csv"):
        if manifest.exists():
            with manifest.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            paths = [(manifest.parent / row["file"]).resolve() for row in rows]
            groups = {path: row["group"] for path, row in zip(paths, rows, strict=True)}
            labels = zip(paths, (row.get("label") for row in rows), strict=True)
            fakes = {path for path, label in labels if label == "fake"}
            break
    found = [
        Source(path.name, groups.get(path.resolve(), path.stem), path=path)
        for path in sorted(directory.rglob("*"))
        if path.suffix.lower() in (".mp4", ".mkv", ".mov", ".webm")
    ]
    if genuine:
        found = [source for source in found if source.path and source.path.resolve() not in fakes]
    else:
        found += [Source(name, name, graph=graph) for name, graph in SYNTHETIC.items()]
    chosen = [source for source in found if half in ("all", half_of(source.group))]
    return [source for source in chosen if source.name not in without]


def half_of(group: str) -> str:
    """Return the half that a group belongs to."""
    return ("development", "test")[hashlib.sha256(group.encode()).digest()[0] % 2]


def clips(
    sources: list[Source],
    makers: tuple[Maker, ...],
    count: int,
    out: Path,
    rng: random.Random,
    side: int,
) -> Iterator[dict[str, str]]:
    """Make clips, types and sources in turn, and yield their rows of the manifest."""
    for number in range(count):
        source = sources[number // len(makers) % len(sources)]
        maker = makers[number % len(makers)]
        size = size_of(source, side)
        frames = read(source, size)
        if len(frames) < 60:  # too short to have a before, a tampering and an after
            sources = [other for other in sources if other is not source]
            source = sources[number // len(makers) % len(sources)]
            size = size_of(source, side)
            frames = read(source, size)
        others = [other for other in sources if other.group != source.group]
        short: set[str] = set()
        while length_of(stranger := rng.choice(others), size) < 60:
            short.add(stranger.name)
            if short >= {other.name for other in others}:
                raise SystemExit("No source of another group has 60 pictures to insert.")
        plan = maker(rng, len(frames))
        crf = rng.randint(18, 32)
        path = out / f"{number:04d}_{plan.label}.mp4"
        foreign = read(stranger, size) if any(s in (1, 3) for s, _ in plan.order) else frames
        render(plan, frames, foreign, path, crf)
        yield {
            "file": path.name,
            "label": plan.label,
            "start_s": f"{plan.start_s:.3f}",
            "end_s": f"{plan.end_s:.3f}",
            "kind": plan.kind,
            "source": source.name,
            "group": source.group,
            "crf": str(crf),
        }


def main() -> None:
    """Make the clips that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=440, help="tampered clips")
    parser.add_argument("--untouched", type=int, default=160, help="untouched clips")
    parser.add_argument("--half", choices=("all", "development", "test"), default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=1280, help="longest side of the clips")
    parser.add_argument("--only", default="", help="makers to use, by name, with commas between")
    parser.add_argument("--genuine", action="store_true", help="no sources that are called fake")
    parser.add_argument("--without", nargs="*", default=[], help="files that are no source")
    options = parser.parse_args()
    sources = sources_in(options.sources, options.half, options.without, genuine=options.genuine)
    print(f"{len(sources)} sources, {len({source.group for source in sources})} groups")
    rows: list[dict[str, str]] = []
    jobs = ((TAMPERINGS, options.clips, "tampered"), (UNTOUCHED, options.untouched, "untouched"))
    only = set(filter(None, options.only.split(",")))
    for all_makers, count, name in jobs:
        makers = tuple(maker for maker in all_makers if not only or maker.__name__ in only)
        if not makers:
            continue
        (options.out / name).mkdir(parents=True, exist_ok=True)
        rng = random.Random(f"{options.seed} {name}")
        made = clips(sources, makers, count, options.out / name, rng, options.side)
        rows.extend(row | {"file": f"{name}/{row['file']}"} for row in made)
    with (options.out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} clips")


if __name__ == "__main__":
    main()
