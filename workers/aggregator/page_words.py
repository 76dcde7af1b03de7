"""The phrases of the report page, from page.toml beside this file."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

from workers.aggregator.wording import Language, Text

_FILE = Path(__file__).with_name("page.toml")


def words(language: Language) -> dict[str, str]:
    """Return all phrases of a language by name."""
    return {name: text[language] for name, text in tables()["words"].items()}


def of_code(code: str, language: Language) -> str:
    """Return the phrase for a detector's code; the code in plain letters where it is new."""
    text = tables()["codes"].get(code)
    return text[language] if text else code.replace("_", " ")


@lru_cache(maxsize=1)
def tables() -> dict[str, dict[str, Text]]:
    """Read the file once: `words` and `codes`, each by name."""
    content = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {"words": content["words"], "codes": content.get("codes", {})}
