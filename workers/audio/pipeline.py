"""From a recording's sound to calibrated evidence about its voices: load, decode, score, encode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.agreement import SPEECH, Projection, stretches
from shared.agreement import load as load_projection
from shared.clips import Clip
from shared.decoder import DEFAULT_LIMITS, DecodeLimits
from shared.errors import NoAudioTrack, Undecodable, UndecodableAudio
from shared.media import PCM_RATE, PcmReader, breaks_off
from shared.models import Registry
from shared.records import (
    Analysis,
    Coverage,
    Finding,
    Media,
    ModelRef,
    Outcome,
    PartialResult,
    Track,
)
from shared.spectrum import Spectrogram
from workers.audio import speech
from workers.audio.closer import Place, look_closer
from workers.audio.features import SoundSummary
from workers.audio.pooling import Calibration, Scored, findings, pool, timeline
from workers.audio.scoring import Scoring, run
from workers.audio.stability import instability
from workers.audio.syllables import Listener
from workers.audio.windows import MIN_WINDOW_SPEECH_S, Window, WindowCutter

#: Name of the detector in the registry.
MODEL = "voice-detector"
#: Speech below which nothing is said about a voice, in seconds.
MIN_SPEECH_S = 1.5
#: Speech below which there is none: single frames that music or noise set off, in seconds.
TRACE_OF_SPEECH_S = 0.3
#: Windows that are scored again after slight degradation, spread over the recording.
STABILITY_WINDOWS = 4

Clock = Callable[[], float]


@dataclass(frozen=True)
class AudioDetector:
    """The loaded networks; safe to use for one recording at a time."""

    voice_activity: Any
    network: Any
    syllables: Projection
    calibration: Calibration
    models: tuple[ModelRef, ...]


@dataclass
class _Heard:
    """What one pass over a track found."""

    listener: Listener
    spectrum: Spectrogram | None = None
    cutter: WindowCutter = field(default_factory=WindowCutter)
    summary: SoundSummary = field(default_factory=SoundSummary)
    scored: list[Scored] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    samples: list[Window] = field(default_factory=list)
    stride: int = 1
    seen: int = 0
    most_speech_s: float = 0.0
    decode_errors: int = 0
    timings_ms: dict[str, float] = field(
        default_factory=lambda: {"decode": 0.0, "speech": 0.0, "score": 0.0}
    )


def load(registry: Registry) -> AudioDetector:
    """Load both networks, the calibration, and what is projected to compare with mouths.

    Raises:
        ModelMissing: A file is not there.
        ModelCorrupt: A digest is wrong.
        SetupError: The calibration is not complete, or a file is not what it should be.
    """
    entry = registry.entry(MODEL)
    syllables = load_projection(registry, SPEECH)
    return AudioDetector(
        voice_activity=speech.load(registry),
        network=registry.scorer(MODEL),
        syllables=syllables,
        calibration=Calibration.from_params(entry.params),
        models=(entry.ref, registry.entry(speech.MODEL).ref, syllables.ref),
    )


def analyze(
    path: Path,
    media: Media,
    detector: AudioDetector,
    *,
    limits: DecodeLimits = DEFAULT_LIMITS,
    clock: Clock = lambda: 0.0,
    stability: bool = True,
    spectrum: Spectrogram | None = None,
    decoded: Clip | None = None,
) -> PartialResult:
    """Score the voices of one recording in one streaming pass.

    Args:
        path: The recording.
        media: What a probe found in it.
        detector: The loaded networks.
        limits: What the decoder may use.
        clock: Seconds for the timings; the default leaves them at zero.
        stability: Score some windows again after slight degradation for the interval.
        spectrum: Takes the picture of the sound that is heard.
        decoded: The sound of the only track, where it is there already.

    Returns:
        A scored half, or a typed non-answer with its figures: silence and other sound without
        speech, music and tones, too little speech.

    Raises:
        NoAudioTrack: The recording has no sound.
        UndecodableAudio: No track could be decoded.
        DecoderTimeout: The decoder did not finish in time.
    """
    tracks = media.of_kind("audio")
    if not tracks:
        raise NoAudioTrack
    heard = _hear_first(path, media, tracks, detector, limits, clock, spectrum, decoded)
    coverage = _coverage(heard, media, tracks)
    common: dict[str, Any] = {
        "modality": "audio",
        "coverage": coverage,
        "sync": heard.listener.series(detector.syllables, heard.cutter.speech),
        "models": detector.models,
    }
    signals = {"speech_s": round(heard.cutter.speech_s, 3), **heard.summary.signals()}
    refusal = _refusal(heard)
    if refusal:
        reason, message = refusal
        return PartialResult(
            outcome=Outcome.NOT_APPLICABLE,
            reason=reason,
            message=message,
            signals=signals,
            timings_ms=_rounded(heard.timings_ms),
            **common,
        )
    started = clock()
    shift = _instability(heard, detector) if stability else 0.0
    heard.timings_ms["stability"] = (clock() - started) * 1000
    verdict = pool(heard.scored, detector.calibration, shift)
    started = clock()
    located = findings(heard.scored, detector.calibration) or _look_closer(heard, detector)
    heard.timings_ms["score"] += (clock() - started) * 1000
    return PartialResult(
        outcome=Outcome.SCORED,
        llr=verdict.llr,
        llr_interval=verdict.interval,
        probability=verdict.probability,
        timeline=timeline(heard.scored, detector.calibration),
        findings=located,
        signals={**signals, **verdict.signals, "stability_shift": round(shift, 4)},
        timings_ms=_rounded(heard.timings_ms),
        **common,
    )


def examine(
    path: Path, media: Media, detector: AudioDetector, *, limits: DecodeLimits, clock: Clock
) -> Analysis:
    """Score the voices as `analyze` does, and draw the sound; the picture is its evidence."""
    spectrum = Spectrogram()
    half = analyze(path, media, detector, limits=limits, clock=clock, spectrum=spectrum)
    evidence = spectrum.evidence(media.duration_s)
    refs = tuple(item.ref for item in evidence)
    return Analysis(half.model_copy(update={"evidence": refs}), evidence)


def _hear_first(
    path: Path,
    media: Media,
    tracks: tuple[Track, ...],
    detector: AudioDetector,
    limits: DecodeLimits,
    clock: Clock,
    spectrum: Spectrogram | None,
    decoded: Clip | None,
) -> _Heard:
    """Hear the first track that can be decoded."""
    compared, reason = stretches(media.duration_s), ""

    def hear(track: Track, channel: int | None = None) -> _Heard:
        reader = decoded or PcmReader(path, media, track, channel=channel, limits=limits)
        return _hear(reader, detector, _Heard(Listener(compared), spectrum), clock)

    for track in tracks:
        try:
            heard = hear(track)
            if heard.cutter.speech_s < MIN_SPEECH_S and (track.channels or 1) > 1:
                # channels of opposite sign are heard by whoever listens, and cancel out when mixed
                if spectrum:
                    spectrum.restart()
                alone = hear(track, 0)
                return max(heard, alone, key=lambda one: (one.cutter.speech_s, one is alone))
        except Undecodable as error:
            reason = error.message
        else:
            return heard
    raise UndecodableAudio(f"No sound track could be decoded: {reason}")


def _hear(reader: PcmReader | Clip, detector: AudioDetector, heard: _Heard, clock: Clock) -> _Heard:
    """Stream one track through speech detection and scoring; memory stays flat."""
    stream = speech.SpeechStream(detector.voice_activity)
    with Scoring(detector.network, clock) as scoring:
        for block in _timed(iter(reader), heard.timings_ms, "decode", clock):
            started = clock()
            heard.summary.add(block)
            heard.listener.add(block)
            if heard.spectrum:
                heard.spectrum.add(block)
            probabilities = stream.feed(block)
            heard.timings_ms["speech"] += (clock() - started) * 1000
            for window in heard.cutter.feed(block, probabilities):
                _take(heard, window, scoring)
        for window in heard.cutter.finish():
            _take(heard, window, scoring)
        heard.scored = scoring.finish()
        heard.places = scoring.places
        heard.timings_ms["score"] = scoring.waited_ms
    heard.decode_errors = reader.decode_errors
    return heard


def _timed(
    blocks: Iterator[NDArray[np.float32]], timings_ms: dict[str, float], stage: str, clock: Clock
) -> Iterator[NDArray[np.float32]]:
    while True:
        started = clock()
        block = next(blocks, None)
        timings_ms[stage] += (clock() - started) * 1000
        if block is None:
            return
        yield block


def _take(heard: _Heard, window: Window, scoring: Scoring) -> None:
    """Give a window to the network, and keep some for the stability check."""
    if heard.seen % heard.stride == 0:
        heard.samples.append(window)
        if len(heard.samples) > 2 * STABILITY_WINDOWS:  # keep an even spread in bounded memory
            heard.samples = heard.samples[::2]
            heard.stride *= 2
    heard.seen += 1
    heard.most_speech_s = max(heard.most_speech_s, window.speech_s)
    scoring.add(window)


def _instability(heard: _Heard, detector: AudioDetector) -> float:
    """Score some windows, spread over the recording, again after slight degradation."""
    windows = heard.samples[:: max(1, len(heard.samples) // STABILITY_WINDOWS)]
    windows = windows[:STABILITY_WINDOWS]
    by_start = {round(item.start_s * PCM_RATE): item.score for item in heard.scored}
    return instability(
        lambda samples: run(detector.network, samples)[0].mean(axis=1),
        [window.samples for window in windows],
        [by_start[window.start] for window in windows],
    )


def _look_closer(heard: _Heard, detector: AudioDetector) -> tuple[Finding, ...]:
    """Look closer where a recording that has no findings sounds most synthetic."""
    return look_closer(
        heard.places,
        heard.scored,
        detector.calibration,
        lambda samples: run(detector.network, samples)[0].mean(axis=1),
        lambda window: heard.cutter.spoken_s(window.start, window.end),
    )


def _refusal(heard: _Heard) -> tuple[str, str] | None:
    """Return reason code and message where nothing can be said about a voice."""
    speech_s = heard.cutter.speech_s
    if speech_s >= MIN_SPEECH_S and heard.most_speech_s >= MIN_WINDOW_SPEECH_S:
        return None
    if heard.summary.is_silent:
        return "no_speech", "The sound track is silent."
    if speech_s < TRACE_OF_SPEECH_S:
        if heard.summary.is_tonal:
            return "music", "The sound is music or tones, without speech."
        return "no_speech", "No speech was found in the sound."
    if speech_s >= MIN_SPEECH_S:
        message = (
            f"The {speech_s:.1f} s of speech are spread too thinly: no 4 s hold as much as "
            f"{MIN_WINDOW_SPEECH_S:.0f} s."
        )
    else:
        message = f"There are {speech_s:.2f} s of speech; at least {MIN_SPEECH_S} s are needed."
    return "too_little_speech", message


def _coverage(heard: _Heard, media: Media, tracks: tuple[Track, ...]) -> Coverage:
    heard_s = heard.summary.duration_s
    broken_off = breaks_off(heard_s, media.duration_s, heard.decode_errors)
    dropped = {
        "sparse_windows": heard.cutter.sparse,
        "decode_errors": heard.decode_errors,
        "other_tracks": len(tracks) - 1,
        "broken_off": int(broken_off),
    }
    return Coverage(
        analysed_s=round(heard_s, 3),
        speech_s=round(heard.cutter.speech_s, 3),
        windows=len(heard.scored),
        dropped={cause: count for cause, count in dropped.items() if count},
    )


def _rounded(timings_ms: dict[str, float]) -> dict[str, float]:
    return {stage: round(value, 1) for stage, value in timings_ms.items()}
