"""A picture of the sound of a recording: time to the right, pitch upwards, loudness as tone."""

from __future__ import annotations

from collections.abc import Iterable
from threading import BoundedSemaphore, Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from shared import objects
from shared.errors import NoAudioTrack, ObjectGone, Permanent
from shared.halves import decode_limits
from shared.media import PCM_RATE, PcmReader, probe
from shared.records import Job
from shared.settings import Settings

WIDTH, HEIGHT = 1000, 160
#: Samples of one spectrum: 32 ms, 31 Hz a line.
_WINDOW = 512
#: Samples between two spectra: 8 ms.
_STEP = 128
#: Loudness range that is drawn, in dB below the loudest.
_RANGE_DB = 80.0
#: Drawing fetches and decodes a recording; one at a time is enough.
_one_at_a_time = BoundedSemaphore(1)
#: Pictures of the latest jobs looked at; the console writes nothing to the reports bucket.
_KEPT = 64
_drawn: dict[str, bytes] = {}
_lock = Lock()


def of_job(settings: Settings, job: Job) -> bytes:
    """Return the spectrogram of a job as PNG; the first look makes it, later ones remember it.

    Raises:
        NoAudioTrack: The recording has no sound.
        ObjectGone: The recording is no longer there.
        ServiceUnavailable: S3 could not be reached.
    """
    with _lock:
        if job.job_id in _drawn:
            return _drawn[job.job_id]
    if job.audio is None or job.media is None or not job.media.of_kind("audio"):
        raise NoAudioTrack
    with _one_at_a_time, objects.workspace(settings) as directory:
        try:
            with objects.fetch(settings, job.upload, directory) as fetched:
                limits = decode_limits(settings)
                media = probe(fetched.path, limits)
                track = media.of_kind("audio")[0]
                reader = PcmReader(fetched.path, media, track, limits=limits)
                picture = draw(reader, media.duration_s or 0.0)
        except Permanent as error:
            raise ObjectGone(error.message) from error
    with _lock:
        _drawn[job.job_id] = picture
        while len(_drawn) > _KEPT:
            _drawn.pop(next(iter(_drawn)))
    return picture


def draw(blocks: Iterable[NDArray[np.float32]], duration_s: float) -> bytes:
    """Draw mono PCM at 16 kHz as PNG of 1000 x 160 pixels.

    Args:
        blocks: The sound, in blocks of any length.
        duration_s: Length of the recording, so that the picture fits a time axis of that length.
    """
    width_s = max(duration_s, _WINDOW / PCM_RATE) / WIDTH
    power = np.zeros((WIDTH, _WINDOW // 2), np.float64)
    counts = np.zeros(WIDTH, np.int64)
    taper = np.hanning(_WINDOW).astype(np.float32)
    begun = 0
    for block in blocks:
        if block.size < _WINDOW:
            continue
        frames = np.lib.stride_tricks.sliding_window_view(block, _WINDOW)[::_STEP]
        spectra = np.abs(np.fft.rfft(frames * taper, axis=1)[:, 1:]) ** 2
        starts_s = (begun + np.arange(len(frames)) * _STEP) / PCM_RATE
        columns = np.minimum((starts_s / width_s).astype(np.int64), WIDTH - 1)
        np.add.at(power, columns, spectra)
        np.add.at(counts, columns, 1)
        begun += block.size
    filled = np.flatnonzero(counts)
    if filled.size:  # a short recording has fewer spectra than the picture has columns
        nearest = filled[np.searchsorted(filled, np.arange(WIDTH), side="right") - 1]
        last = min(WIDTH - 1, int(begun / PCM_RATE / width_s))
        power = power[nearest] / counts[nearest, None]
        power[last + 1 :] = 0.0
    return _encode(power)


def _encode(power: NDArray[np.float64]) -> bytes:
    """Turn power by column and line into dark-to-light PNG, high tones at the top."""
    decibels = 10 * np.log10(power.T[::-1] + 1e-12)
    top = float(decibels.max())
    tones = np.clip((decibels - top) / _RANGE_DB + 1.0, 0.0, 1.0)
    grey = cv2.resize((tones * 255).astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".png", cv2.applyColorMap(grey, cv2.COLORMAP_BONE))
    assert done
    return bytes(encoded)
