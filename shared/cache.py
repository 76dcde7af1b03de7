"""Results of earlier analyses by digest of the content, so that the same file is analysed once.

An entry names the job that has the result, and what it was made by: another set of models or way of
sampling makes it useless. Entries are kept in Redis where `cache_url` is set and else in the jobs
table. A cache that fails costs the time of an analysis and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import structlog

from shared import items, shadow
from shared.errors import GuardianError
from shared.jobs import JobStore
from shared.models import Registry
from shared.records import MODALITIES, Media, Modality, Outcome, PartialResult, Record
from shared.settings import Settings
from shared.telemetry import CACHE_LOOKUPS

_KIND = "cache"
#: Where the code is that results come from.
_PACKAGES = (Path(__file__).parent, Path(__file__).parents[1] / "workers")
_FAULTS = (GuardianError, OSError, ValueError)
_log = structlog.get_logger()


class Entry(Record):
    """Where one earlier result is.

    Attributes:
        job_id: The job that it was made for.
        made_by: Digest of models and sampling that it came from.
        made_at: When.
    """

    job_id: str
    made_by: str
    made_at: datetime


@dataclass(frozen=True)
class Earlier:
    """An earlier result.

    Attributes:
        half: The result; its evidence lies with the job that it was made for.
        media: What the probe found in the file.
        made_at: When it was made.
    """

    half: PartialResult
    media: Media | None
    made_at: datetime


def look_up(settings: Settings, modality: Modality, sha256: str) -> Earlier | None:
    """Return the result of an earlier analysis of the same content, if one can be used here."""
    if not settings.cache_days:
        return None
    try:
        found = _found(settings, modality, _read(_store(settings).get(f"{sha256}:{modality}")))
    except _FAULTS as error:
        CACHE_LOOKUPS.labels(modality, "failed").inc()
        _log.warning("cache_not_read", error=str(error))
        return None
    CACHE_LOOKUPS.labels(modality, "hit" if found else "miss").inc()
    return found


def _found(settings: Settings, modality: Modality, entry: Entry | None) -> Earlier | None:
    """Return what an entry names, where it may be used and is still there."""
    oldest = datetime.now(UTC) - timedelta(days=settings.cache_days)
    if entry is None or entry.made_by != made_by(settings) or entry.made_at < oldest:
        return None
    job = next(JobStore(settings).readable([entry.job_id]), None)  # may be erased, or expired
    half = job.half(modality) if job else None
    if not (job and half) or half.outcome is Outcome.FAILED:  # made again now, or went wrong
        return None
    return Earlier(half, job.media, entry.made_at)


def keep(settings: Settings, job_id: str, sha256: str, half: PartialResult, now: datetime) -> None:
    """Remember where a result is; one that failed is not remembered, it may go better next time."""
    if not settings.cache_days or half.outcome is Outcome.FAILED:
        return
    entry = Entry(job_id=job_id, made_by=made_by(settings), made_at=now)
    try:
        _store(settings).put(f"{sha256}:{half.modality}", entry.model_dump_json(), now)
    except _FAULTS as error:
        _log.warning("cache_not_written", error=str(error))


def forget(settings: Settings, sha256: str) -> None:
    """Remove what is remembered about a content, because somebody asked for its erasure.

    Raises:
        ServiceUnavailable: The table or Redis could not be reached.
    """
    for modality in MODALITIES:
        _store(settings).remove(f"{sha256}:{modality}")


@lru_cache(maxsize=4)
def made_by(settings: Settings) -> str:
    """Return the digest of what a result depends on besides the content.

    What a decoder may use is part of it: one that is stopped leaves a result of what came before.
    """
    parts = (
        version("silver-guardian"),
        _code(),
        Registry(settings.models_dir).digest,
        shadow.digest(settings),
        str(settings.sample_rate),
        str(settings.max_frames),
        str(settings.sequence_s),
        str(settings.decode_timeout_s),
        str(settings.decode_memory_bytes),
        settings.c2pa_trust_anchors.read_text() if settings.c2pa_trust_anchors else "",
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _code() -> str:
    """Return the digest of the code: between two versions, it may come to other results."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted(package.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(found: str | None) -> Entry | None:
    """Read an entry; what an older or newer release wrote in another form is none."""
    if found is None:
        return None
    try:
        return Entry.model_validate_json(found)
    except ValueError as error:
        _log.info("cache_entry_unreadable", error=str(error)[:200])
        return None


class _Entries(Protocol):
    """Where entries are kept, as texts by name."""

    def get(self, name: str) -> str | None: ...

    def put(self, name: str, text: str, now: datetime) -> None: ...

    def remove(self, name: str) -> None: ...


class _Table:
    """Entries as rows of the jobs table."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get(self, name: str) -> str | None:
        row = items.get(self._settings, _KIND, name)
        return None if row is None else json.dumps(row)

    def put(self, name: str, text: str, now: datetime) -> None:
        keep_s = timedelta(days=self._settings.cache_days).total_seconds()
        items.put(self._settings, _KIND, name, json.loads(text), now, keep_s, listed=False)

    def remove(self, name: str) -> None:
        items.delete(self._settings, _KIND, name)


@lru_cache(maxsize=4)
def _store(settings: Settings) -> _Entries:
    if settings.cache_url is None:
        return _Table(settings)
    from shared.cache_redis import RedisEntries  # noqa: PLC0415  # see there

    url, prefix = settings.cache_url.get_secret_value(), f"{settings.prefix}:{_KIND}:"
    return RedisEntries(url, prefix, timedelta(days=settings.cache_days))
