#!/usr/bin/env python3
"""Make the two sample clips of the demo from a public-domain portrait and freely licensed speech.

    scripts/make_samples.py PORTRAIT.png SPEECH.wav OUT_DIR

PORTRAIT.png is `skimage/data/astronaut.png` of the PyPI package scikit-image (NASA, public domain);
SPEECH.wav is a recorded prompt of Debian's asterisk-core-sounds-en (CC BY-SA 3.0). Needs ffmpeg and
espeak-ng. `bona_fide.mp4` shows the photograph as a hand-held camera would, with the recorded
voice. `manipulated.mp4` shows it with the face blended over itself with other colours, another
scale and a moving mouth, as face swaps and lip-sync do, and with a synthetic voice (espeak-ng).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FPS = 25
SIDE_PX = 400
#: Head and shoulders in the portrait: left, top, side, in its pixels.
CROP = (118, 4, 200)
#: Face and mouth in the crop: centre x, centre y, half width, half height, in crop pixels.
FACE = (107.0, 116.0, 40.0, 54.0)
MOUTH = (105.0, 142.0, 24.0, 14.0)
TEXT = (
    "Hello grandmother, it is me. I had an accident and I need money today. "
    "Please do not tell anyone, and send it to this account right now."
)
Picture = NDArray[np.float32]


def main() -> None:
    """Write both clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("portrait", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    left, top, side = CROP
    portrait = cv2.imread(str(options.portrait))[top : top + side, left : left + side]
    still = portrait.astype(np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        synthetic = Path(scratch) / "synthetic.wav"
        subprocess.run(["espeak-ng", "-v", "en-us", "-w", str(synthetic), TEXT], check=True)
        for name, speech, manipulate in (
            ("bona_fide", options.speech, False),
            ("manipulated", synthetic, True),
        ):
            envelope = speech_envelope(speech)
            rng = np.random.default_rng(7)
            frames = [
                film(forge(still, level, rng) if manipulate else still, index, rng)
                for index, level in enumerate(envelope)
            ]
            encode(frames, speech, options.out / f"{name}.mp4")


def speech_envelope(path: Path) -> Picture:
    """Return loudness at frame rate, 0 to 1, shape (frames,)."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-ac", "1", "-ar", "16000", "-f", "f32le"]
    raw = subprocess.run([*command, "-"], check=True, capture_output=True).stdout
    samples = np.frombuffer(raw, dtype="<f4")
    step = 16_000 // FPS
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    loudness = np.sqrt((blocks**2).mean(axis=1))
    return (loudness / loudness.max()).astype(np.float32)


def forge(still: Picture, level: float, rng: np.random.Generator) -> Picture:
    """Blend a re-coloured, re-scaled face with an opened mouth over the face (a self-blend)."""
    height, width = still.shape[:2]
    donor = cv2.resize(cv2.resize(still, None, fx=0.55, fy=0.55), (width, height))
    donor = open_mouth(donor, level)
    scale = 1.06 + rng.normal(0, 0.006)
    matrix = cv2.getRotationMatrix2D(FACE[:2], rng.normal(1.5, 0.5), scale)
    matrix[:, 2] += rng.normal(0, 0.5, 2)
    donor = cv2.warpAffine(donor, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    donor = donor * np.array([0.90, 1.0, 1.10], np.float32) + 6
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot((xs - FACE[0]) / FACE[2], (ys - FACE[1]) / FACE[3])
    mask = np.clip((1.1 - distance) / 0.2, 0, 1)[..., None]
    return (still * (1 - mask) + donor * mask).astype(np.float32)


def open_mouth(picture: Picture, level: float) -> Picture:
    """Stretch the mouth region downwards by the loudness."""
    height, width = picture.shape[:2]
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    x, y, half_width, half_height = MOUTH
    near = np.exp(-(((xs - x) / half_width) ** 2) - ((ys - y) / half_height) ** 2)
    shift = 7.0 * level * near * np.clip((ys - y) / half_height + 0.3, 0, 1)
    return cv2.remap(picture, xs, ys - shift.astype(np.float32), cv2.INTER_LINEAR)


def film(still: Picture, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Show a still as a hand-held camera would: slow drift and zoom, and sensor noise."""
    seconds = index / FPS
    zoom = SIDE_PX / still.shape[0] * (1.03 + 0.015 * np.sin(0.5 * seconds))
    drift = 2.0 * np.array(
        [
            np.sin(1.1 * seconds) + 0.4 * np.sin(3.7 * seconds),
            np.sin(0.8 * seconds + 1) + 0.4 * np.sin(4.3 * seconds),
        ]
    )
    centre = still.shape[0] / 2
    offset = SIDE_PX / 2 - zoom * centre + drift
    matrix = np.array([[zoom, 0, offset[0]], [0, zoom, offset[1]]])
    frame = cv2.warpAffine(
        still, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    frame = frame + rng.normal(0, 2.5, frame.shape)
    return np.clip(frame, 0, 255).astype(np.uint8)


def encode(frames: list[NDArray[np.uint8]], speech: Path, out: Path) -> None:
    """Write H.264 and AAC."""
    command = [
        *("ffmpeg", "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "bgr24"),
        *("-s", f"{SIDE_PX}x{SIDE_PX}", "-r", str(FPS), "-i", "-", "-i", str(speech)),
        *("-c:v", "libx264", "-crf", "23", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k"),
        *("-ar", "44100", "-shortest", "-movflags", "+faststart", str(out)),
    ]
    subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), check=True)


if __name__ == "__main__":
    main()
