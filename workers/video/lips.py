"""How much the mouth moves, at 12.5 values a second in short dense bursts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.media import Frame
from shared.records import SyncSeries
from workers.video.faces import Face, FaceFinder, Image, overlap
from workers.video.tracks import align

#: Values a second; `SyncSeries` are resampled to exactly this.
RATE_HZ = 12.5
#: Length of a burst, and how many there are at most.
BURST_S, BURSTS = 3.2, 2
#: Pictures are scaled down to this for the bursts, in pixels.
BURST_SIDE_PX = 640
#: The detector looks at every n-th picture of a burst; points between are interpolated.
FIND_EVERY = 3
#: Boxes of one face overlap at least this much from look to look.
SAME_FACE = 0.3
#: Shorter bursts say nothing, in values.
MIN_VALUES = 12
#: Side of the aligned face, in pixels, and the mouth's rows and columns in it.
_SIDE_PX = 80
_ROWS, _COLUMNS = slice(50, 80), slice(24, 56)
#: Steps of 1/255 for a change of every pixel by the face's mean brightness within one interval;
#: a speaking mouth has about 60 steps on average and twice that at its peaks.
_STEPS = 1200.0

Floats = NDArray[np.float64]


@dataclass
class _Burst:
    """Mouths of one burst in the order of time."""

    times: list[float] = field(default_factory=list)
    mouths: list[Floats] = field(default_factory=list)


def burst_starts(times: Sequence[float], duration_s: float) -> list[float]:
    """Choose where bursts begin: where sampled frames showed a face, early and late.

    Args:
        times: Times of the sampled frames with a usable face, in order, in seconds.
        duration_s: Length of the recording, in seconds.
    """
    if not times:
        return []
    room = max(0.0, duration_s - BURST_S)
    if room < BURST_S:
        return [min(times[0], room)]
    wanted = [duration_s * (n + 0.5) / BURSTS - BURST_S / 2 for n in range(BURSTS)]
    starts: list[float] = []
    for aim in wanted:
        start = min(room, max(0.0, min(times, key=lambda t: abs(t - aim))))
        if all(abs(start - other) >= BURST_S for other in starts):
            starts.append(start)
    return starts


def series(frames: Iterable[Frame], finder: FaceFinder) -> SyncSeries | None:
    """Follow the largest mouth through one burst.

    Args:
        frames: Dense frames of one burst.
        finder: Finds faces and their points.

    Returns:
        The opening over time; None where no mouth could be followed.
    """
    burst = _Burst()
    held: list[Frame] = []
    last: tuple[float, Face] | None = None
    for number, frame in enumerate(frames):
        held.append(frame)
        if number % FIND_EVERY:
            continue
        face = _follow(finder.find(frame.image), last[1] if last else None)
        if face is None:
            if len(burst.times) >= MIN_VALUES:
                break
            burst, last = _Burst(), None
        else:
            _add(burst, held, last or (frame.pts_s, face), (frame.pts_s, face))
            last = (frame.pts_s, face)
        held = []
    return _encode(burst)


def _follow(faces: list[Face], last: Face | None) -> Face | None:
    """Return the largest face, or the one that goes on from the last one."""
    if last is None:
        return faces[0] if faces else None
    return next((face for face in faces if overlap(face, last) > SAME_FACE), None)


def _add(
    burst: _Burst, frames: list[Frame], before: tuple[float, Face], now: tuple[float, Face]
) -> None:
    """Cut the mouths of the frames between two detections, at interpolated points."""
    span = now[0] - before[0]
    for frame in frames:
        share = 1.0 if span <= 0 else min(1.0, max(0.0, (frame.pts_s - before[0]) / span))
        points = before[1].points * (1 - share) + now[1].points * share
        burst.times.append(frame.pts_s)
        burst.mouths.append(_mouth(frame.image, Face(now[1].box, now[1].score, points)))


def _mouth(image: Image, face: Face) -> Floats:
    """Return the grey mouth, brightness taken out, shape (rows, columns)."""
    grey = cv2.cvtColor(align(image, face, _SIDE_PX), cv2.COLOR_BGR2GRAY)
    soft = cv2.GaussianBlur(grey, (0, 0), 1.5)[_ROWS, _COLUMNS].astype(np.float64)
    return np.asarray(soft / max(float(grey.mean()), 1.0), dtype=np.float64)


def movement(mouths: Floats, times: Floats) -> Floats:
    """Return how much aligned mouths change from one to the next, shape (n - 1,).

    Against recorded speech this agreed better than how dark or how open the mouth is: a mouth
    that holds a vowel is open and still, and so is its sound's change.

    Args:
        mouths: Grey mouths of shape (n, rows, columns), in units of the face's mean brightness.
        times: When, shape (n,), in seconds.
    """
    change = np.abs(np.diff(mouths, axis=0)).mean(axis=(1, 2))
    pause = np.maximum(np.diff(times), 1e-3)
    return np.asarray(change / (pause * RATE_HZ), dtype=np.float64)


def _encode(burst: _Burst) -> SyncSeries | None:
    """Resample to the fixed rate and to 8 bits."""
    taken = np.array(burst.times)
    if len(taken) < MIN_VALUES or taken[-1] <= taken[0]:
        return None
    values = movement(np.stack(burst.mouths), taken)
    middles = (taken[1:] + taken[:-1]) / 2
    times = np.arange(middles[0], middles[-1], 1 / RATE_HZ)
    if len(times) < MIN_VALUES:
        return None
    steps = np.clip(np.round(np.interp(times, middles, values) * _STEPS), 0, 255)
    return SyncSeries(
        rate_hz=RATE_HZ,
        start_s=round(float(times[0]), 3),
        values=tuple(int(step) for step in steps),
    )
