"""Text from outside, without signs that act on a terminal."""

from __future__ import annotations


def visible(text: str, keep: str = "") -> str:
    """Replace control characters, of which escape sequences are made, and turns of direction.

    Args:
        text: From anywhere: an object's key may hold whatever its uploader likes.
        keep: Such characters that may stay.

    Returns:
        Text of the same length, with U+FFFD in their place.
    """
    return "".join(
        sign if sign.isprintable() or sign in keep else "\N{REPLACEMENT CHARACTER}" for sign in text
    )
