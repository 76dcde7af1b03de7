#!/usr/bin/env python3
"""Build labelled audiovisual clips: real and fake pictures, each with genuine and synthetic sound.

    scripts/make_audiovisual.py DATA OUT [--seed 7]

DATA has `video/clips/manifest.csv` and `audio/manifest.csv`. OUT gets clips and a `manifest.csv`
with file, kind (real, voice, picture, both, mismatch), sync (own, swapped, shifted or empty),
group, fold, generator and system. All sound goes through the same chain (16 kHz mono, one
loudness, AAC 64 kbit/s), so that nothing but its origin differs. Sources of picture and sound are
dealt to five folds by group, and a clip is only put together within one fold.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
import subprocess
import tempfile
import wave
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
FOLDS = 5
#: Loudness of every sound track: root mean square, full scale is 1.
LEVEL = 0.06
#: Pause between two joined pool clips, in seconds.
PAUSE_S = 0.25
#: Shifts of own sound against the picture, in seconds.
SHIFTS_S = (-1.2, -0.8, -0.4, 0.4, 0.8, 1.2)
#: Clips shorter than this are left out: too little speech to score.
MIN_DURATION_S = 3.0
Row = dict[str, str]
Sound = NDArray[np.float32]


def main() -> None:
    """Build all clips and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    videos = read(options.data / "video/clips/manifest.csv")
    pool = Pool(options.data / "audio", random.Random(options.seed))
    rows = []
    for row in videos:
        if float(row["duration_s"]) < MIN_DURATION_S:
            continue
        clip = options.data / "video/clips" / row["file"]
        for name, sound, labels in variants(row, clip, videos, pool, options.data):
            target = options.out / f"{clip.stem}_{name}.mp4"
            mux(clip, sound, target)
            rows.append({"file": target.name, **labels})
    with (options.out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} clips in {options.out}")


def variants(
    row: Row, clip: Path, videos: list[Row], pool: Pool, data: Path
) -> Iterator[tuple[str, Sound, Row]]:
    """Yield name, sound and labels of each clip made from one picture."""
    fold = fold_of(row["group"])
    duration_s = float(row["duration_s"])
    fake = row["label"] == "fake"
    common = {"group": row["group"], "fold": f"{fold}", "generator": row["generator"]}
    speech, system = pool.speech("spoof", fold, duration_s)
    yield (
        "spoof",
        speech,
        {"kind": "both" if fake else "voice", "sync": "", **common, "system": system},
    )
    own = decode(clip) if row["audio_label"] == "real" else None
    if fake:
        genuine = own if own is not None else pool.speech("bonafide", fold, duration_s)[0]
        yield "genuine", genuine, {"kind": "picture", "sync": "", **common, "system": ""}
    elif own is not None:
        yield "own", own, {"kind": "real", "sync": "own", **common, "system": ""}
        other = next(iter(foreign(row, videos)), None)
        if other is not None:
            sound = decode(data / "video/clips" / other["file"])
            labels = {"kind": "mismatch", "sync": "swapped", **common, "system": ""}
            yield "swapped", fitted(sound, duration_s), labels
        shift_s = SHIFTS_S[int(hashlib.sha256(clip.name.encode()).hexdigest(), 16) % len(SHIFTS_S)]
        labels = {"kind": "mismatch", "sync": "shifted", **common, "system": f"{shift_s}"}
        yield "shifted", shifted(own, shift_s), labels


def foreign(row: Row, videos: list[Row]) -> list[Row]:
    """Return real clips with own sound of other people in the same fold, in a fixed order."""
    others = [
        other
        for other in videos
        if other["label"] == "real"
        and other["audio_label"] == "real"
        and other["group"] != row["group"]
        and fold_of(other["group"]) == fold_of(row["group"])
        and float(other["duration_s"]) >= MIN_DURATION_S
    ]
    key = row["file"]
    return sorted(others, key=lambda o: hashlib.sha256((key + o["file"]).encode()).hexdigest())


class Pool:
    """Genuine and synthetic speech by fold; joined clips are always of one group."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        """Read the manifest of the pool."""
        self._folder = folder
        self._rng = rng
        self._groups: dict[tuple[str, int], dict[str, list[Row]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for row in read(folder / "manifest.csv"):
            self._groups[row["label"], fold_of(row["group"])][row["group"]].append(row)

    def speech(self, label: str, fold: int, duration_s: float) -> tuple[Sound, str]:
        """Return speech of one group that is as long as asked for, and its system."""
        groups = self._groups[label, fold]
        name = self._rng.choice(sorted(groups))
        rows = self._rng.sample(groups[name], len(groups[name]))
        pause = np.zeros(round(PAUSE_S * RATE), dtype=np.float32)
        pieces: list[Sound] = []
        length = 0
        while length < duration_s * RATE:
            row = rows[len(pieces) // 2 % len(rows)]
            pieces += [decode(self._folder / row["file"]), pause]
            length = sum(piece.size for piece in pieces)
        return np.concatenate(pieces)[: round(duration_s * RATE)], rows[0]["system"] or name


def read(manifest: Path) -> list[Row]:
    """Read a CSV file."""
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fold_of(group: str) -> int:
    """Deal a group to a fold, the same on every machine."""
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % FOLDS


def decode(path: Path) -> Sound:
    """Decode a sound track to 16 kHz mono, at the common loudness."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a:0", "-ac", "1"]
    done = subprocess.run(
        [*command, "-ar", str(RATE), "-f", "f32le", "-"], check=True, capture_output=True
    )
    sound = np.frombuffer(done.stdout, dtype=np.float32)
    level = float(np.sqrt(np.mean(np.square(sound)))) if sound.size else 0.0
    return sound * np.float32(LEVEL / max(level, 1e-4))


def fitted(sound: Sound, duration_s: float) -> Sound:
    """Cut or fill up with silence to a length."""
    size = round(duration_s * RATE)
    return np.pad(sound[:size], (0, max(0, size - sound.size)))


def shifted(sound: Sound, shift_s: float) -> Sound:
    """Delay the sound (positive) or bring it forward; its end wraps around to its beginning."""
    return np.roll(sound, round(shift_s * RATE))


def mux(clip: Path, sound: Sound, target: Path) -> None:
    """Put a sound track under a picture, which is copied as it is."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as scratch:
        with wave.open(scratch.name, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(clip), "-i", scratch.name]
        command += ["-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", "-c:a", "aac", "-b:a", "64k"]
        subprocess.run([*command, str(target)], check=True)


if __name__ == "__main__":
    main()
