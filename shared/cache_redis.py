"""Results of earlier analyses in Redis; imported where one is used, since its client is large."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from shared.errors import ServiceUnavailable

#: A Redis that does not answer within this time is left alone for a while.
_ANSWER_S = 0.5
_LEAVE_ALONE_S = 30.0


class RedisEntries:
    """Entries in Redis; after a fault it is left alone for a while, so that it costs little.

    Every method raises `ServiceUnavailable` where Redis cannot be reached or says no.
    """

    def __init__(self, url: str, prefix: str, keep: timedelta) -> None:
        """Take where Redis is, what names begin with, and how long entries are kept."""
        self._prefix = prefix
        self._keep = keep
        self._quiet_until = 0.0
        self._redis: Any = Redis.from_url(
            url,
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_ANSWER_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def get(self, name: str) -> str | None:
        """Return an entry, or None."""
        found: str | None = self._patient(lambda: self._redis.get(self._prefix + name))
        return found

    def put(self, name: str, text: str, now: datetime) -> None:  # noqa: ARG002
        """Keep an entry; Redis has a clock of its own."""
        self._patient(lambda: self._redis.set(self._prefix + name, text, ex=self._keep))

    def remove(self, name: str) -> None:
        """Remove an entry, even from a Redis that is being left alone."""
        _asked(lambda: self._redis.delete(self._prefix + name))

    def _patient(self, call: Callable[[], Any]) -> Any:
        if time.monotonic() < self._quiet_until:
            raise ServiceUnavailable("Redis is left alone after a fault.")
        try:
            return _asked(call)
        except ServiceUnavailable:
            self._quiet_until = time.monotonic() + _LEAVE_ALONE_S
            raise


def _asked(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (RedisError, OSError) as error:
        raise ServiceUnavailable(f"Redis could not be reached: {error}.") from error
