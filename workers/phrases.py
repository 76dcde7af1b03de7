"""The phrases for detectors' codes in English and Korean, from phrases.toml beside this file."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Literal

Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = ("en", "ko")
Text = dict[Language, str]

_FILE = Path(__file__).with_suffix(".toml")


def of_code(code: str, language: Language) -> str:
    """Return the phrase for a detector's code; the code in plain letters where it is new."""
    text = table().get(code)
    return text[language] if text else code.replace("_", " ")


@lru_cache(maxsize=1)
def table() -> dict[str, Text]:
    """Read the phrases once: by code and language."""
    phrases: dict[str, Text] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return phrases
