"""Text from outside, made harmless for a terminal."""

from __future__ import annotations

from rich.markup import escape


def printable(text: object) -> str:
    """Return text in which nothing acts: an object's key may hold whatever its uploader likes.

    Control characters, of which escape sequences are made, and those that turn the direction of
    writing become U+FFFD; what rich would take for markup is escaped.
    """
    return escape(
        "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in str(text))
    )
