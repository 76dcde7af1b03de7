"""From a recording's pictures to calibrated evidence about its faces: load, sample, score, pool."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from shared.agreement import MOUTH, Projection
from shared.agreement import load as load_projection
from shared.decoder import DEFAULT_LIMITS, DecodeLimits
from shared.errors import NoVideoTrack, Undecodable, UndecodableVideo
from shared.media import Frame, breaks_off
from shared.models import Registry
from shared.records import (
    Analysis,
    Coverage,
    Media,
    ModelRef,
    Outcome,
    PartialResult,
    SyncSeries,
    Track,
)
from workers.video.album import Album, Shot, show
from workers.video.consistency import Consistency, examine
from workers.video.faces import Face, FaceFinder, Image
from workers.video.mouths import Mouths
from workers.video.pooling import Calibration, Scored, pool, timeline
from workers.video.quality import refusal, unfit
from workers.video.scoring import FaceScorer, Views, instability
from workers.video.source import SEQUENCE_S, Choice, Source
from workers.video.tracks import Tracker, likeness_vector

#: Names in the registry.
FINDER, SCORER = "face-finder", "face-detector"
#: Faces of one frame that are scored, largest first; those beyond that could be are counted.
MAX_FACES_A_FRAME = 4
#: Faces scored in one run of the network; bounds memory.
BATCH = 8

Clock = Callable[[], float]


@dataclass(frozen=True)
class VideoDetector:
    """The loaded networks; safe to use for one recording at a time."""

    finder: FaceFinder
    scorer: FaceScorer
    mouth: Projection
    calibration: Calibration
    models: tuple[ModelRef, ...]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A face that waits for others to be scored with it; the pictures are those of a `Shot`."""

    person: int
    time_s: float
    views: Views
    shown: Image


@dataclass
class _Seen:
    """What one pass over the frames found."""

    tracker: Tracker = field(default_factory=Tracker)
    album: Album = field(default_factory=Album)
    waiting: list[_Waiting] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    any_face: SimpleQueue[bool] = field(default_factory=SimpleQueue)
    looked: list[float] = field(default_factory=list)
    timings_ms: dict[str, float] = field(
        default_factory=lambda: {"decode": 0.0, "find": 0.0, "score": 0.0}
    )


def load(registry: Registry) -> VideoDetector:
    """Load both networks, the calibration, and what mouths are projected with.

    Raises:
        ModelMissing: A file is not there.
        ModelCorrupt: A digest is wrong.
        SetupError: The calibration is not complete, or a file is not what it should be.
    """
    entry = registry.entry(SCORER)
    calibration = Calibration.from_params(entry.params)
    mouth = load_projection(registry, MOUTH)
    return VideoDetector(
        finder=FaceFinder(registry.session(FINDER)),
        scorer=FaceScorer(registry.scorer(SCORER), calibration.narrow, calibration.wide),
        calibration=calibration,
        mouth=mouth,
        models=(entry.ref, registry.entry(FINDER).ref, mouth.ref),
    )


def analyze(
    path: Path,
    media: Media,
    detector: VideoDetector,
    *,
    sample_every: int = 30,
    max_frames: int = 240,
    limits: DecodeLimits = DEFAULT_LIMITS,
    clock: Clock = lambda: 0.0,
    sync: bool = True,
    sequence: bool = True,
    sequence_s: float = SEQUENCE_S,
) -> Analysis:
    """Score the faces of one recording and examine the sequence of its frames.

    Args:
        path: The recording.
        media: What a probe found in it.
        detector: The loaded networks.
        sample_every: Look at every n-th frame; short recordings are sampled more densely.
        max_frames: Look at no more than about this many.
        limits: What the decoder may use.
        clock: Seconds for the timings; the default leaves them at zero.
        sync: Follow the mouth through dense bursts too.
        sequence: Examine the sequence of frames too; the same faces are looked at without.
        sequence_s: Seconds that are examined picture by picture, about; see `Choice`. 0 for none.

    Returns:
        A scored half with the crops behind it, or a typed non-answer with its coverage: no face,
        faces too small, too blurred or seen from the side only, too few frames.

    Raises:
        NoVideoTrack: The recording has no moving picture.
        UndecodableVideo: No track could be decoded.
        DecoderTimeout: The decoder did not finish in time.
    """
    tracks = media.of_kind("video")
    if not tracks:
        raise NoVideoTrack
    if not sequence and media.duration_s and media.duration_s <= sequence_s:
        sequence_s = 0.0  # without stretches, the same pictures come at less cost
    chosen = Choice(sample_every, max_frames, sequence_s, bursts=sync)
    seen = _Seen()
    with ThreadPoolExecutor(1) as beside:  # both cores are used
        opened = _open_first(path, media, tracks, chosen, detector, limits, beside)
        track, source, mouths, pending = opened.track, opened.source, opened.mouths, opened.pending
        if sync and pending is None:
            pending = beside.submit(mouths.follow, seen.any_face, source.keys_s)
        try:
            _look(seen, opened.frames, detector, clock)
        finally:
            source.close()
            seen.any_face.put(False)  # whoever waits for a first face waits no longer
        looked = clock()
        examined = sequence and sequence_s > 0
        order = _sequence(path, media, track, limits, source) if examined else Consistency()
        series = pending.result() if pending else ()
    if sync and not series:
        series = mouths.follow_where([item.time_s for item in seen.scored], source.keys_s)
    seen.dropped.update(source.dropped + mouths.dropped + Counter(order.dropped))
    seen.timings_ms["lips_and_sequence"] = (clock() - looked) * 1000
    refused = refusal(len(seen.scored), len(seen.looked), seen.dropped)
    coverage = _coverage(seen, media, track, tracks)
    common: dict[str, Any] = {
        "modality": "video",
        "coverage": coverage,
        "findings": order.findings,
        "models": detector.models,
    }
    if refused:
        result = PartialResult(
            outcome=Outcome.NOT_APPLICABLE,
            reason=refused.code,
            message=refused.message,
            signals=order.signals,
            sync=series,
            timings_ms=_rounded(seen.timings_ms),
            **common,
        )
        return Analysis(result)
    looked = clock()
    spread = seen.album.spread
    looks, scores = [shot.views for shot in spread], [shot.scored.score for shot in spread]
    shift = instability(detector.scorer, looks, scores)
    seen.timings_ms["stability"] = (clock() - looked) * 1000
    verdict = pool(seen.scored, detector.calibration, shift)
    evidence = seen.album.evidence(detector.calibration)
    result = PartialResult(
        outcome=Outcome.SCORED,
        llr=verdict.llr,
        llr_interval=verdict.interval,
        probability=verdict.probability,
        timeline=timeline(seen.scored, detector.calibration, (*seen.looked, coverage.analysed_s)),
        persons=verdict.persons,
        signals=order.signals | verdict.signals | {"stability_shift": round(shift, 4)},
        sync=series,
        evidence=tuple(item.ref for item in evidence),
        timings_ms=_rounded(seen.timings_ms),
        **common,
    )
    return Analysis(result, evidence)


def _rounded(timings_ms: dict[str, float]) -> dict[str, float]:
    return {stage: round(value, 1) for stage, value in timings_ms.items()}


def _sequence(
    path: Path, media: Media, track: Track, limits: DecodeLimits, source: Source
) -> Consistency:
    """Examine the order of frames; a track that cannot be read for it is counted."""
    try:
        return examine(
            path, media, track, limits=limits, seen=source.stretches, packets=source.packets
        )
    except Undecodable:
        return Consistency(dropped={"sequence_undecodable": 1})


@dataclass(frozen=True)
class _Opened:
    """A track of which at least one picture came out, and who takes its bursts."""

    track: Track
    source: Source
    mouths: Mouths
    frames: Iterator[Frame]
    pending: Future[tuple[SyncSeries, ...]] | None


def _open_first(
    path: Path,
    media: Media,
    tracks: tuple[Track, ...],
    chosen: Choice,
    detector: VideoDetector,
    limits: DecodeLimits,
    beside: Executor,
) -> _Opened:
    """Open the first track that can be decoded.

    Bursts are taken from the start: they may come before the first of the other pictures, which
    does not come until they are taken.
    """
    reason = ""
    for track in tracks:
        try:
            source = Source(path, media, track, chosen, limits)
            mouths = Mouths(path, media, track, detector.finder, detector.mouth, limits)
            pending = None
            if source.bursts:
                pending = beside.submit(mouths.follow_on_the_way, source.bursts, source.stretches)
            frames = source.frames()
            try:
                started = itertools.chain([next(frames)], frames)
            except BaseException:
                source.close()
                raise
        except Undecodable as error:
            reason = error.message
        else:
            return _Opened(track, source, mouths, started, pending)
    raise UndecodableVideo(f"No picture track could be decoded: {reason}")


def _look(seen: _Seen, frames: Iterator[Frame], detector: VideoDetector, clock: Clock) -> None:
    """Stream frames through detection, tracking and scoring; memory stays flat."""
    while True:
        started = clock()
        frame = next(frames, None)
        decoded = clock()
        seen.timings_ms["decode"] += (decoded - started) * 1000
        if frame is None:
            _score_waiting(seen, detector.scorer)
            seen.timings_ms["score"] += (clock() - decoded) * 1000
            return
        faces = detector.finder.find(frame.image)
        found = clock()
        seen.timings_ms["find"] += (found - decoded) * 1000
        _gather(seen, frame, faces, detector.scorer)
        if len(seen.waiting) >= BATCH:
            _score_waiting(seen, detector.scorer)
        seen.timings_ms["score"] += (clock() - found) * 1000
        seen.looked.append(frame.pts_s)


def _gather(seen: _Seen, frame: Frame, faces: list[Face], scorer: FaceScorer) -> None:
    """Track the faces of one frame, and keep those that are good enough until they are scored."""
    if not faces:
        seen.dropped["no_face"] += 1
    good: list[Face] = []
    for face in faces:
        fault = unfit(frame.image, face)
        if not fault and len(good) == MAX_FACES_A_FRAME:
            fault = "too_many_faces"
        if fault:
            seen.dropped[fault] += 1
        else:
            good.append(face)
    if not good:
        return
    looks = [(face, likeness_vector(frame.image, face)) for face in good]
    persons = seen.tracker.assign(looks, frame.pts_s)
    for face, person in zip(good, persons, strict=True):
        if not seen.waiting and not seen.scored:
            seen.any_face.put(True)
        views, shown = scorer.cut(frame.image, face), show(frame.image, face)
        seen.waiting.append(_Waiting(person, frame.pts_s, views, shown))


def _score_waiting(seen: _Seen, scorer: FaceScorer) -> None:
    if not seen.waiting:
        return
    scores, distances = scorer.score_crops([face.views for face in seen.waiting])
    for face, score, distance in zip(seen.waiting, scores, distances, strict=True):
        scored = Scored(face.person, face.time_s, float(score), float(distance))
        seen.scored.append(scored)
        seen.album.add(Shot(scored, face.views, face.shown))
    seen.waiting.clear()


def _coverage(seen: _Seen, media: Media, track: Track, tracks: tuple[Track, ...]) -> Coverage:
    stated_s, errors = track.duration_s or media.duration_s, seen.dropped["decode_errors"]
    last_s = max(seen.looked, default=0.0)
    broken_off = breaks_off(last_s, stated_s, errors)
    left_out = {"other_pictures": len(tracks) - 1, "broken_off": int(broken_off)}
    return Coverage(
        analysed_s=round(max(0.0 if broken_off else track.duration_s or 0.0, last_s), 3),
        faces=len(seen.scored),
        frames_sampled=len(seen.looked),
        dropped=dict(seen.dropped) | {cause: count for cause, count in left_out.items() if count},
    )
