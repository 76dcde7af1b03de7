"""Results of earlier analyses by digest of the content, so that the same file is analysed once.

A result is valid for one set of models and one way of sampling: the entry names both, and another
set makes it useless. It is kept in Redis where `cache_url` is set and else in the jobs table. A
cache that fails costs the time of an analysis and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from shared import items, shadow
from shared.errors import GuardianError, ServiceUnavailable
from shared.models import Registry
from shared.records import MODALITIES, Media, Modality, Outcome, PartialResult, Record
from shared.settings import Settings
from shared.telemetry import CACHE_LOOKUPS

_KIND = "cache"
#: A Redis that does not answer within this time is left alone for a while.
_ANSWER_S = 0.5
_LEAVE_ALONE_S = 30.0
_FAULTS = (GuardianError, RedisError, OSError, ValueError)
_log = structlog.get_logger()


class Entry(Record):
    """One earlier result.

    Attributes:
        made_by: Digest of models and sampling that it came from.
        made_at: When.
        half: The result; its evidence lies with the job that it was made for.
        media: What the probe found in the file.
    """

    made_by: str
    made_at: datetime
    half: PartialResult
    media: Media | None


def look_up(settings: Settings, modality: Modality, sha256: str) -> Entry | None:
    """Return the result of an earlier analysis of the same content, if one can be used here."""
    if not settings.cache_days:
        return None
    try:
        found = _store(settings).get(f"{sha256}:{modality}")
    except _FAULTS as error:
        CACHE_LOOKUPS.labels(modality, "failed").inc()
        _log.warning("cache_not_read", error=str(error))
        return None
    entry = _read(found)
    usable = entry is not None and entry.made_by == made_by(settings)
    CACHE_LOOKUPS.labels(modality, "hit" if usable else "miss").inc()
    return entry if usable else None


def keep(
    settings: Settings, sha256: str, half: PartialResult, media: Media | None, now: datetime
) -> None:
    """Remember a result; one that failed is not remembered, it may go better next time."""
    if not settings.cache_days or half.outcome is Outcome.FAILED:
        return
    entry = Entry(made_by=made_by(settings), made_at=now, half=half, media=media)
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
        try:
            _store(settings).remove(f"{sha256}:{modality}")
        except RedisError as error:
            raise ServiceUnavailable(f"Redis could not be reached: {error}.") from error


@lru_cache(maxsize=4)
def made_by(settings: Settings) -> str:
    """Return the digest of what a result depends on besides the content."""
    parts = (
        version("silver-guardian"),
        Registry(settings.models_dir).digest,
        shadow.digest(settings),
        str(settings.sample_rate),
        str(settings.max_frames),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _read(found: str | None) -> Entry | None:
    """Read an entry; what an older or newer release wrote in another form is none."""
    if found is None:
        return None
    try:
        return Entry.model_validate_json(found)
    except ValueError as error:
        _log.info("cache_entry_unreadable", error=str(error)[:200])
        return None


class _Table:
    """Entries as rows of the jobs table."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def get(self, name: str) -> str | None:
        row = items.get(self._settings, _KIND, name)
        return None if row is None else json.dumps(row)

    def put(self, name: str, text: str, now: datetime) -> None:
        keep_s = timedelta(days=self._settings.cache_days).total_seconds()
        items.put(self._settings, _KIND, name, json.loads(text), now, keep_s)

    def remove(self, name: str) -> None:
        items.delete(self._settings, _KIND, name)


class _Redis:
    """Entries in Redis; after a fault it is left alone for a while, so that it costs little."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._keep = timedelta(days=settings.cache_days)
        self._prefix = f"{settings.prefix}:{_KIND}:"
        self._quiet_until = 0.0
        self._redis: Any = Redis.from_url(
            url,
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_ANSWER_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def get(self, name: str) -> str | None:
        found: str | None = self._ask(lambda: self._redis.get(self._prefix + name))
        return found

    def put(self, name: str, text: str, _: datetime) -> None:
        self._ask(lambda: self._redis.set(self._prefix + name, text, ex=self._keep))

    def remove(self, name: str) -> None:
        self._redis.delete(self._prefix + name)

    def _ask(self, call: Callable[[], Any]) -> Any:
        if time.monotonic() < self._quiet_until:
            raise RedisError("Redis is left alone after a fault.")
        try:
            return call()
        except (RedisError, OSError):
            self._quiet_until = time.monotonic() + _LEAVE_ALONE_S
            raise


@lru_cache(maxsize=4)
def _store(settings: Settings) -> _Table | _Redis:
    if settings.cache_url is None:
        return _Table(settings)
    return _Redis(settings, settings.cache_url.get_secret_value())


def age_s(entry: Entry, now: datetime) -> float:
    """Return how old a result is, in seconds."""
    return max(0.0, (now - entry.made_at.astimezone(UTC)).total_seconds())
