"""What is printed on a terminal: text from outside, made harmless, and JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.markup import escape


def plain(text: object) -> str:
    """Return text in which nothing acts: an object's key may hold whatever its uploader likes.

    Control characters, of which escape sequences are made, and those that turn the direction of
    writing become U+FFFD; what rich would take for markup is escaped.
    """
    return escape(
        "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in str(text))
    )


def document(data: Any) -> str:
    """Return plain data as one line of JSON, with escapes for all that `plain` replaces."""
    text = json.dumps(data, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)
