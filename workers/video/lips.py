"""How the mouth moves, in short dense bursts, as series that speech can be compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.agreement import (
    RATE_HZ,
    SEARCH_S,
    WHOLE_S,
    Floats,
    Projection,
    Span,
    encode,
    smooth,
    stretches,
)
from shared.media import Frame
from shared.onepass import Bursts
from shared.records import SyncSeries
from workers.video import flat
from workers.video.faces import Face, FaceFinder, Image, cut, overlap
from workers.video.tracks import similarity

#: Recordings up to this length are watched from end to end; of longer ones, bursts.
ALL_S = 9.0
#: Length of a burst, and how many there are at most.
BURST_S, BURSTS = 6.0, 2
#: Bursts of short recordings are moved at most this far, to a key picture; and so far into it.
SNAP_S, _INTO_S = 3.0, 0.1
#: Pictures a second that are looked at, at most; a few more than a camera makes.
MOST_HZ = 65
#: Pictures are scaled down to this for the bursts, in pixels.
BURST_SIDE_PX = 640
#: The detector looks at every n-th picture of a burst; points between are interpolated.
FIND_EVERY = 3
#: And before there was a first face, at every n-th.
SEARCH_EVERY = 9
#: It looks at a square this much wider than the last face, scaled to this side in pixels.
NEAR_MARGIN, NEAR_SIDE_PX = 2.0, 160
#: Boxes of one face overlap at least this much from look to look.
SAME_FACE = 0.3
#: Shorter pieces of a burst say nothing, in seconds.
MIN_S = 2.4
#: Eyes closer together than this leave too little of the mouth, in pixels of the burst.
MIN_EYES_PX = 16.0
#: Heads turned further (see `Face.turn`), most of the time, are beyond what was measured.
MAX_TURN = 0.4
#: Movement below this (see `Projection.movement`) is a still mouth. A photograph in an unsteady
#: hand has 0.18, the stillest of the speakers that were trained on 0.29.
MIN_MOVEMENT = 0.25
#: The same of what is left when the face is laid flat (see `workers.video.flat`) and jumps are
#: slowed: photographs that are panned, zoomed, shaken or tilted before the camera have up to 0.18,
#: unless the picture's edge cuts through the chin; the stillest speaker 0.24, others 0.28 and more.
MIN_OWN_MOVEMENT = 0.2
#: What changes from one picture to the next this many times as much as four in five pictures do
#: has come at once: a caption, or a cut to another photograph. Of mouths that speak, it is a few.
_JUMP, _MOST = 2.0, 0.8
#: Deviation of the Gaussian that steadies the points over time, in seconds.
_STEADY_S = 0.16
#: Pictures further apart than this, in seconds, are too few to follow a mouth from one to the next.
_MOST_APART_S = 0.1
#: The square that is kept of each picture until the points are steady: in box sides, and pixels.
_KEPT_MARGIN, _KEPT_SIDE_PX = 1.5, 144
#: Side of the aligned face, where its points lie, and the parts used: all of it, and the mouth.
_SIDE_PX = 96
_TEMPLATE = np.array([[0.348, 0.3], [0.652, 0.3], [0.5, 0.46], [0.38, 0.604], [0.62, 0.604]])
_FACE = np.s_[20:80, 20:76]
_MOUTH = np.s_[42:90, 24:72]
#: Side of the mouth that is projected, in pixels.
MOUTH_PX = 24


@dataclass
class _Run:
    """One face from picture to picture, without a break."""

    times: list[float] = field(default_factory=list)
    squares: list[Image] = field(default_factory=list)
    places: list[tuple[float, float, float]] = field(default_factory=list)
    looked: list[tuple[float, Face]] = field(default_factory=list)


@dataclass(frozen=True)
class Mouth:
    """One mouth at `RATE_HZ`.

    Attributes:
        start_s: Time of the first one, in seconds.
        pictures: Shape (n, `MOUTH_PX` squared), in units of the face's contrast.
        own: The same without what a flat face would show too, moved as a whole, and without jumps.
    """

    start_s: float
    pictures: Floats
    own: Floats


def bursts(times: Sequence[float], duration_s: float, keys: Sequence[float] = ()) -> list[Span]:
    """Choose when to look closely: where sampled frames showed a face, spread evenly.

    Args:
        times: Times of the sampled frames with a usable face, in order, in seconds.
        duration_s: Length of the recording, in seconds.
        keys: Times of key pictures: what lies between one and a burst is decoded in vain.

    Returns:
        Start and length of each burst, in seconds.
    """
    if not times:
        return []
    if duration_s <= ALL_S:
        return [(0.0, duration_s)]
    if duration_s <= WHOLE_S:
        starts = [n * BURST_S for n in range(max(1, int(duration_s // BURST_S)))]
        starts = [_snap(start, keys, duration_s - BURST_S) for start in starts]
    else:
        starts = [start + SEARCH_S / 2 for start, _ in stretches(duration_s)]
    seen = [sum(start <= time < start + BURST_S for time in times) for start in starts]
    return _some(
        [start for start, count in zip(starts, seen, strict=True) if 2 * count >= max(seen)]
    )


def bursts_on_the_way(duration_s: float, spans: Sequence[Span]) -> list[Span]:
    """Choose when to look closely, before any face was seen, in what is decoded anyway.

    Args:
        duration_s: Length of the recording, in seconds.
        spans: Start and length of what is decoded picture by picture, in order, in seconds; empty
            where that is all of it.

    Returns:
        Start and length of each burst; empty where the recording is so long that only parts of
        its sound are heard, see `shared.agreement.stretches`.
    """
    if duration_s > WHOLE_S:
        return []
    if not spans:
        return bursts(np.arange(0.0, max(1.0, duration_s)).tolist(), duration_s)
    return _some(
        [
            start + n * BURST_S
            for start, length in spans
            for n in range(int((length + _INTO_S) / BURST_S))
        ]
    )


def pictures(spans: Sequence[Span], from_s: float, fps: float) -> Bursts:
    """Say which pictures of a decoder belong to bursts.

    Args:
        spans: Start and length of each burst, in seconds.
        from_s: Where the decoder begins, in seconds.
        fps: Pictures a second.
    """
    every = max(1, int(fps / RATE_HZ + 0.01))
    numbers = []
    for start_s, length_s in spans:
        first = round((start_s - from_s) * fps)
        count = min(round(length_s * fps), int(length_s * MOST_HZ) * every)
        numbers.append(range(first, first + max(1, count), every))
    return Bursts(tuple(numbers), BURST_SIDE_PX)


def _some(starts: Sequence[float]) -> list[Span]:
    """Choose bursts from the middle of equal parts of those that are possible."""
    count = min(BURSTS, len(starts))
    picks = np.linspace(0, len(starts) - 1, count + 2)[1:-1].round()
    if np.unique(picks).size < count:
        picks = (np.arange(count) + 0.5) * len(starts) / count
    return [(starts[int(pick)], BURST_S) for pick in picks]


def _snap(start_s: float, keys: Sequence[float], last_s: float) -> float:
    """Move a start a little, to right after a key picture, where one is near."""
    near = min((key + _INTO_S for key in keys), key=lambda t: abs(t - start_s), default=start_s)
    return near if abs(near - start_s) <= SNAP_S and near <= last_s else start_s


def series(
    mouths: Iterable[Mouth], projection: Projection, dropped: Counter[str]
) -> tuple[SyncSeries, ...]:
    """Project mouths that move; still ones are counted as `mouth_still`.

    Those of photographs are still, too, however the photograph is moved.
    """
    found: list[SyncSeries] = []
    for mouth in mouths:
        components = projection.components(mouth.pictures)
        own = projection.movement(projection.components(mouth.own))
        if projection.movement(components) < MIN_MOVEMENT or own < MIN_OWN_MOVEMENT:
            dropped["mouth_still"] += 1
        else:
            found += encode(projection.project(components), mouth.start_s)
    return tuple(found)


def watch(frames: Iterable[Frame], finder: FaceFinder, dropped: Counter[str]) -> list[Mouth]:
    """Follow the largest face through one burst.

    Args:
        frames: Dense frames of one burst.
        finder: Finds faces and their points.
        dropped: Counts pieces with a mouth that is not usable, by reason.
    """
    found: list[Mouth] = []
    for run in _follow(frames, finder):
        fault = _fault(run)
        if fault:
            dropped[fault] += 1
        else:
            found.append(_mouths(run))
    return found


def _follow(frames: Iterable[Frame], finder: FaceFinder) -> list[_Run]:
    """Cut frames into runs that each show one face."""
    runs = [_Run()]
    held: list[Frame] = []
    for number, frame in enumerate(frames):
        held.append(frame)
        last = runs[-1].looked[-1] if runs[-1].looked else None
        if number % (FIND_EVERY if last or len(runs) > 1 else SEARCH_EVERY):
            continue
        face = _go_on(frame.image, finder, last[1]) if last else None
        if face is None:
            face = next(iter(finder.find(frame.image)), None)
            if last and not (face and overlap(face, last[1]) > SAME_FACE):
                runs.append(_Run())
        if face is not None:
            now = (frame.pts_s, face)
            if runs[-1].looked:
                _keep(runs[-1], held, runs[-1].looked[-1], now)
            else:
                _keep(runs[-1], [frame], now, now)
        held = []
    return [run for run in runs if run.times]


def _go_on(image: Image, finder: FaceFinder, last: Face) -> Face | None:
    """Look for the face again around where it was last."""
    left, top, right, bottom = last.box
    side = max(8, round(max(right - left, bottom - top) * NEAR_MARGIN))
    x, y = (round(middle - side / 2) for middle in last.centre)
    near = cut(image, last, NEAR_MARGIN, NEAR_SIDE_PX)
    zoom = side / NEAR_SIDE_PX
    for face in finder.find(near, NEAR_SIDE_PX):
        one, two, three, four = face.box
        box = (one * zoom + x, two * zoom + y, three * zoom + x, four * zoom + y)
        there = Face(box, face.score, face.points * np.float32(zoom) + np.array([x, y], np.float32))
        if overlap(there, last) > SAME_FACE:
            return there
    return None


def _keep(
    run: _Run, frames: list[Frame], before: tuple[float, Face], now: tuple[float, Face]
) -> None:
    """Keep the square around the face of the frames between two looks."""
    run.looked.append(now)
    span = now[0] - before[0]
    for frame in frames:
        share = 1.0 if span <= 0 else min(1.0, max(0.0, (frame.pts_s - before[0]) / span))
        box = np.array(before[1].box) * (1 - share) + np.array(now[1].box) * share
        side = max(float(box[2] - box[0]), float(box[3] - box[1]), 8.0) * _KEPT_MARGIN
        zoom = side / _KEPT_SIDE_PX
        x = float(box[0] + box[2] - side) / 2
        y = float(box[1] + box[3] - side) / 2 + 0.08 * side
        grey = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY)
        if zoom > 1.3:  # noqa: PLR2004  # from here on, pixels would be skipped
            grey = cv2.GaussianBlur(grey, (0, 0), 0.4 * zoom)
        square = cv2.warpAffine(
            grey,
            np.array([[zoom, 0, x], [0, zoom, y]]),
            (_KEPT_SIDE_PX, _KEPT_SIDE_PX),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        run.times.append(frame.pts_s)
        run.squares.append(np.asarray(square, dtype=np.uint8))
        run.places.append((x, y, zoom))


def _fault(run: _Run) -> str | None:
    """Say why a mouth cannot be followed closely enough; None where it can."""
    if run.times[-1] - run.times[0] < MIN_S:
        return "mouth_too_brief"
    if float(np.median(np.diff(run.times))) > _MOST_APART_S:
        return "mouth_too_few_pictures"
    faces = [face for _, face in run.looked]
    if float(np.median([np.linalg.norm(f.points[1] - f.points[0]) for f in faces])) < MIN_EYES_PX:
        return "mouth_too_small"
    if float(np.median([face.turn for face in faces])) > MAX_TURN:
        return "mouth_profile"
    return None


def _mouths(run: _Run) -> Mouth:
    """Align all faces of a run by points that are steady in time, and cut out the mouths."""
    times = np.array(run.times)
    looked = np.array([time for time, _ in run.looked])
    points = np.stack([face.points.ravel() for _, face in run.looked]).astype(np.float64)
    dense = np.column_stack([np.interp(times, looked, column) for column in points.T])
    pause = max(float(np.median(np.diff(times))), 1e-3)
    dense = smooth(dense, _STEADY_S / pause).reshape(-1, 5, 2)
    faces = np.empty((len(times), _SIDE_PX, _SIDE_PX), dtype=np.float32)
    for number, (square, (x, y, zoom)) in enumerate(zip(run.squares, run.places, strict=True)):
        source = ((dense[number] - (x, y)) / zoom).astype(np.float32)
        faces[number] = cv2.warpAffine(
            square,
            similarity(source, (_TEMPLATE * _SIDE_PX).astype(np.float32)),
            (_SIDE_PX, _SIDE_PX),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    inner = faces[(slice(None), *_FACE)]
    level, contrast = float(inner.mean()), max(float(inner.std(axis=(1, 2)).mean()), 1.0)
    grid = np.arange(max(0.0, times[0]), times[-1] + 1e-6, 1 / RATE_HZ)

    def cut_out(aligned: NDArray[np.float32]) -> Floats:
        """Return the mouths of aligned faces at `RATE_HZ`."""
        mouths = aligned[(slice(None), *_MOUTH)]
        half = mouths.reshape(len(mouths), MOUTH_PX, 2, MOUTH_PX, 2).mean(axis=(2, 4))
        rows = ((half - level) / contrast).reshape(len(half), -1).astype(np.float64)
        return _at(grid, times, rows)

    return Mouth(float(grid[0]), cut_out(faces), without_jumps(cut_out(flat.lay(faces))))


def without_jumps(rows: Floats) -> Floats:
    """Slow down what comes at once; the rest of the movement stays. Shape stays, too."""
    steps = np.diff(rows, axis=0)
    size = np.sqrt(np.square(steps).mean(axis=1))
    most = _JUMP * float(np.quantile(size, _MOST))
    slowed = steps * np.minimum(1, most / np.maximum(size, 1e-9))[:, None]
    return np.concatenate([rows[:1], rows[0] + slowed.cumsum(axis=0)])


def _at(grid: Floats, times: Floats, rows: Floats) -> Floats:
    """Interpolate rows between their times."""
    after = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    pause = np.maximum(times[after] - times[after - 1], 1e-3)
    share = np.clip((grid - times[after - 1]) / pause, 0, 1)[:, None]
    return np.asarray(rows[after - 1] * (1 - share) + rows[after] * share, dtype=np.float64)
