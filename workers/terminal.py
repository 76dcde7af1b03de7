"""What is printed on a terminal: text from outside, made harmless, and JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.markup import escape

from shared.visible import visible


def plain(text: object) -> str:
    """Return text in which nothing acts, neither on the terminal nor as markup of rich."""
    return escape(visible(str(text)))


def document(data: Any) -> str:
    """Return plain data as one line of JSON.

    Escapes stand for all that `visible` replaces, and for what is not ASCII where standard output
    may lack it.
    """
    text = json.dumps(data, ensure_ascii=not (sys.stdout.encoding or "").lower().startswith("utf"))
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)
