"""The picture of the sound of a job: the one that was stored with it, or one drawn now."""

from __future__ import annotations

from threading import BoundedSemaphore, Lock

from shared import objects, spectrum
from shared.errors import NoAudioTrack, ObjectGone, Permanent
from shared.halves import decode_limits
from shared.media import PcmReader, probe
from shared.records import Job
from shared.settings import Settings

#: Drawing fetches and decodes a recording; one at a time is enough.
_one_at_a_time = BoundedSemaphore(1)
#: Pictures of the latest jobs looked at; the console writes nothing to the reports bucket.
_KEPT = 64
_drawn: dict[str, bytes] = {}
_lock = Lock()


def of_job(settings: Settings, job: Job) -> bytes:
    """Return the spectrogram of a job as JPEG; the first look gets it, later ones remember it.

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
    stored = next((ref.key for ref in job.audio.evidence if ref.kind == spectrum.KIND), None)
    picture = objects.get_report(settings, stored) if stored else _draw(settings, job)
    with _lock:
        _drawn[job.job_id] = picture
        while len(_drawn) > _KEPT:
            _drawn.pop(next(iter(_drawn)))
    return picture


def _draw(settings: Settings, job: Job) -> bytes:
    """Fetch and decode the recording: of a job that has no picture of its own."""
    drawing = spectrum.Spectrogram()
    with _one_at_a_time, objects.workspace(settings) as directory:
        try:
            with objects.fetch(settings, job.upload, directory) as fetched:
                limits = decode_limits(settings)
                media = probe(fetched.path, limits)
                for block in PcmReader(
                    fetched.path, media, media.of_kind("audio")[0], limits=limits
                ):
                    drawing.add(block)
        except Permanent as error:
            raise ObjectGone(error.message) from error
    found = drawing.evidence(media.duration_s)
    if not found:
        raise NoAudioTrack
    return found[0].content
