#!/usr/bin/env python3
"""Fill the generated parts of README.md: the settings table, and the verdict on request.

    scripts/render_readme.py [--check] [--verdict FILE]

FILE is what `guardian analyze workers/samples/manipulated.mp4 --json` printed. With --check nothing
is written; the exit status is 1 where the settings table is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from shared.settings import Settings

README = Path(__file__).parents[1] / "README.md"
_SHOWN = ("label", "probability", "interval", "prior", "audio_probability", "video_probability")


def settings_table() -> str:
    """Return one row a setting: variable, default, meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        default = default.replace(str(Path.home()), "~").replace(tempfile.gettempdir(), "/tmp")  # noqa: S108  # words, not a path
        shown = f"`{default}`" if default else "none"
        rows.append(f"| `GUARDIAN_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def verdict_block(path: Path) -> str:
    """Return the few fields of a verdict that a reader sees first, as they were printed."""
    document = json.loads(path.read_text())
    verdict = document["verdict"]
    fields = {name: verdict[name] for name in _SHOWN}
    lines = [f'  "{name}": {json.dumps(value)}' for name, value in fields.items()]
    reasons = json.dumps([reason["text"] for reason in verdict["reasons"]], ensure_ascii=False)
    lines += [f'  "reasons": {reasons}', f'  "next_step": {json.dumps(verdict["next_step"])}']
    return "```json\n{\n" + ",\n".join(lines) + "\n}\n```"


def replace(text: str, name: str, content: str) -> str:
    """Replace what stands between the markers of a generated part.

    Raises:
        ValueError: There are no such markers, so the part would never be looked at.
    """
    before, begun, rest = text.partition(f"<!-- {name}:start -->\n")
    _, ended, after = rest.partition(f"<!-- {name}:end -->")
    if not (begun and ended):
        raise ValueError(f"There are no markers of {name}.")
    return f"{before}{begun}{content}\n{ended}{after}"


def main() -> int:
    """Write or check README.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--verdict", type=Path)
    options = parser.parse_args()
    before = README.read_text()
    after = replace(before, "settings", settings_table())
    if options.verdict:
        after = replace(after, "verdict", verdict_block(options.verdict))
    if options.check:
        return int(before != after)
    README.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
