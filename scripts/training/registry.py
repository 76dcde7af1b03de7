"""Write the tables of one model into models.toml, leaving all other tables as they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_entry(
    folder: Path,
    name: str,
    words: Mapping[str, str],
    params: Mapping[str, float],
    measured: Mapping[str, Any],
) -> None:
    """Replace the tables of a model.

    Args:
        folder: Directory of models.toml and the ONNX file.
        name: The model.
        words: What is told of it: version, file, modality, input, licence, origin, training data.
        params: Calibration.
        measured: Figures for `guardian models list`.
    """
    digest = hashlib.sha256((folder / words["file"]).read_bytes()).hexdigest()
    lines = ["", f"[{name}]", *(f'{key} = "{value}"' for key, value in words.items())]
    lines += [f'sha256 = "{digest}"', "", f"[{name}.params]"]
    lines += [f"{key} = {value}" for key, value in params.items()]
    lines += ["", f"[{name}.measured]", *(f"{key} = {value}" for key, value in measured.items())]
    manifest = folder / "models.toml"
    others = [
        table
        for table in re.split(r"(?m)^(?=\[)", manifest.read_text())
        if not re.match(rf"\[{name}[.\]]", table)
    ]
    text = "".join(others).rstrip() + "\n" + "\n".join(lines) + "\n"
    manifest.write_text(text)
