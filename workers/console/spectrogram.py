"""The picture of the sound of a job: the one that was stored with it, or one drawn now."""

from __future__ import annotations

from dataclasses import replace
from threading import BoundedSemaphore

from shared import objects, spectrum
from shared.decoder import DecodeLimits
from shared.errors import Busy, NoAudioTrack, ObjectGone, Permanent
from shared.halves import decode_limits
from shared.media import PcmReader
from shared.probing import probe
from shared.records import Job
from shared.settings import Settings

#: Drawing fetches and decodes a recording; one at a time is enough, and waiting for it for long
#: would keep a thread from other requests.
_one_at_a_time = BoundedSemaphore(1)
_PATIENCE_S = 3.0
#: Most address space of its decoder, which has sound alone to decode: the console's pod has 1 GiB,
#: and where a child goes beyond it, all of the pod is killed.
_DECODER_BYTES = 768 * 1024**2


def of_job(settings: Settings, job: Job) -> bytes:
    """Return the spectrogram of a job as JPEG; nothing of it is kept, here or in the bucket.

    Raises:
        NoAudioTrack: The recording has no sound.
        ObjectGone: The recording is no longer there.
        Busy: Other pictures are being drawn.
        ServiceUnavailable: S3 could not be reached.
    """
    if job.audio is None or job.media is None or not job.media.of_kind("audio"):
        raise NoAudioTrack
    stored = next((ref.key for ref in job.audio.evidence if ref.kind == spectrum.KIND), None)
    return objects.get_report(settings, stored) if stored else _draw(settings, job)


def _draw(settings: Settings, job: Job) -> bytes:
    """Fetch and decode the recording: of a job that has no picture of its own."""
    if not _one_at_a_time.acquire(timeout=_PATIENCE_S):
        raise Busy
    try:
        return _drawn(settings, job)
    finally:
        _one_at_a_time.release()


def _drawn(settings: Settings, job: Job) -> bytes:
    drawing = spectrum.Spectrogram()
    with objects.workspace(settings) as directory:
        try:
            with objects.fetch(settings, job.upload, directory) as fetched:
                limits = _limits(settings)
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


def _limits(settings: Settings) -> DecodeLimits:
    limits = decode_limits(settings)
    return replace(limits, memory_bytes=min(limits.memory_bytes, _DECODER_BYTES))
