"""What is printed on a terminal: text from outside, made harmless, and JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.markup import escape

from shared.visible import visible


def plain(text: object) -> str:
    """Return text in which nothing acts, neither on the terminal nor as markup of rich."""
    return escape(visible(str(text)))


def document(data: Any) -> str:
    """Return plain data as one line of JSON, with escapes for all that `visible` replaces."""
    text = json.dumps(data, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)
