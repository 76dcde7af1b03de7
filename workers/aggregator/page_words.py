"""The phrases of the report page, from page.toml beside this file."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

from workers.phrases import Language, Text

_FILE = Path(__file__).with_name("page.toml")


def words(language: Language) -> dict[str, str]:
    """Return all phrases of a language by name."""
    return {name: text[language] for name, text in table().items()}


@lru_cache(maxsize=1)
def table() -> dict[str, Text]:
    """Read the file once: by name and language."""
    phrases: dict[str, Text] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return phrases
