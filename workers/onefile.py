"""One file, no AWS: the same pipelines as the fleet, the same verdict."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shared.containers import SNIFF_BYTES, admit, require_file
from shared.errors import NotMedia
from shared.halves import Analyze, examine
from shared.models import Registry
from shared.records import Analysis, Job, JobStatus, Media, Modality, Upload
from shared.settings import Settings
from workers.aggregator import fusion
from workers.audio import pipeline as audio
from workers.audio.bound import bind as bind_audio
from workers.video import pipeline as video
from workers.video.bound import bind as bind_video


@dataclass(frozen=True)
class Loaded:
    """The pipelines of both halves and the model that combines them."""

    pipelines: dict[Modality, Analyze]
    model: fusion.FusionModel


def load(settings: Settings) -> Loaded:
    """Load what one file after another is analysed with.

    Raises:
        SetupError: A model is missing or corrupt.
    """
    registry = Registry(settings.models_dir, device=settings.device, threads=settings.threads)
    halves = pipelines(settings, audio.load(registry), video.load(registry))
    return Loaded(halves, fusion.load(registry))


def analyze_file(
    settings: Settings, path: Path, loaded: Loaded | None = None
) -> tuple[Job, dict[Modality, Analysis]]:
    """Analyse a local file as an upload of the same content would be.

    Args:
        settings: The limits.
        path: The file.
        loaded: What to analyse it with; loaded here where not given.

    Returns:
        A complete job that was never in any table, and the two analyses with their evidence.

    Raises:
        Rejected: Intake would not take the file.
        NotMedia: The file does not exist or cannot be read.
    """
    digest = _admitted_digest(settings, path)
    loaded = loaded or load(settings)
    analyses: dict[Modality, Analysis] = {}
    media: Media | None = None
    for modality, analyze in loaded.pipelines.items():
        analyses[modality], found = examine(path, modality, analyze, settings)
        media = media or found
    now = datetime.now(UTC)
    halves = {modality: analysis.result for modality, analysis in analyses.items()}
    verdict = fusion.decide(
        halves["audio"],
        halves["video"],
        prior=settings.prior,
        decided_at=now,
        model=loaded.model,
    )
    upload = Upload(bucket="local", key=path.name, etag=digest, size_bytes=path.stat().st_size)
    job = Job(
        job_id=upload.job_id,
        status=JobStatus.COMPLETE,
        bucket=upload.bucket,
        key=upload.key,
        etag=digest,
        size_bytes=upload.size_bytes,
        sha256=digest,
        media=media,
        created_at=now,
        updated_at=now,
        verdict=verdict,
        audio=halves["audio"],
        video=halves["video"],
    )
    return job, analyses


def _admitted_digest(settings: Settings, path: Path) -> str:
    """Refuse what intake would refuse, and return the SHA-256 of the rest."""
    require_file(path)
    try:
        with path.open("rb") as file:
            admit(path.stat().st_size, file.read(SNIFF_BYTES), settings.max_upload_bytes)
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NotMedia(f"The file {path} cannot be read: {error.strerror}.") from error


def pipelines(
    settings: Settings, hear: audio.AudioDetector, look: video.VideoDetector
) -> dict[Modality, Analyze]:
    """Bind detectors to the settings: what is left takes a file."""
    return {"audio": bind_audio(settings, hear), "video": bind_video(settings, look)}
