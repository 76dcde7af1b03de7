"""Names for what a training keeps between runs, so that other data never finds it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable


def digest_of(parts: Iterable[object]) -> str:
    """Return twelve hexadecimal digits that stand for these values, which JSON can hold."""
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()[:12]
