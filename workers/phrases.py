"""The phrases for codes in English and Korean: those of detectors, and those of problems."""

from __future__ import annotations

import json
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Literal

Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = ("en", "ko")
Text = dict[Language, str]

_FILE = Path(__file__).with_suffix(".toml")
#: The console's, which must have them before it reaches a server: a module around a JSON object.
_PROBLEMS = Path(__file__).parent / "console" / "static" / "problems.js"


def of_code(code: str, language: Language) -> str:
    """Return the phrase for a detector's code; the code in plain letters where it is new."""
    text = table().get(code)
    return text[language] if text else code.replace("_", " ")


@lru_cache(maxsize=1)
def table() -> dict[str, Text]:
    """Read the phrases once: by code and language."""
    phrases: dict[str, Text] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return phrases


def of_problem(code: str, message: str, language: Language) -> str:
    """Return what is told of an error or an end; in English, that is its own message."""
    words = problems().get(f"problem_{code}")
    return words[1] if words and language == "ko" else message


@lru_cache(maxsize=1)
def problems() -> dict[str, tuple[str, str]]:
    """Read the words once: in English and Korean by `problem_` and the code."""
    module = _PROBLEMS.read_text(encoding="utf-8")
    words: dict[str, tuple[str, str]] = json.loads(
        module[module.index("{") : module.rindex("}") + 1]
    )
    return words
