"""Put trained projections into the registry, and their figures into the card."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np

from shared.agreement import MOUTH, SPEECH, Projection
from shared.models import PACKAGED
from training.agreement_fit import pack

VERSION = "1.0.0"
CARD = "sound-mouth.md"
#: Marks around the figures in the card.
START, END = "<!-- figures -->", "<!-- end -->"
_FILES = {MOUTH: "video-mouth-series.npz", SPEECH: "audio-speech-series.npz"}
_INPUTS = {
    MOUTH: "float64 (n, 576): pictures of an aligned mouth, 24 x 24, 25 a second",
    SPEECH: "float64 (n, 40): logarithms of power in mel bands, 25 a second",
}
_TRAINING_DATA = (
    "published demonstration clips of real and made talking heads, most under research-only or "
    f"unstated terms; see {CARD}"
)


def write(mouth: Projection, sound: Projection, measured: dict[str, Any]) -> None:
    """Write both files, their tables at the end of the manifest, and the card's figures."""
    manifest = PACKAGED / "models.toml"
    content = manifest.read_text()
    for name, projection in ((MOUTH, mouth), (SPEECH, sound)):
        packed = io.BytesIO()
        np.savez_compressed(packed, **pack(projection))
        (PACKAGED / _FILES[name]).write_bytes(packed.getvalue())
        digest = hashlib.sha256(packed.getvalue()).hexdigest()
        content = _without(content, name).rstrip() + "\n\n" + _table(name, digest, measured)
    manifest.write_text(content)
    card = PACKAGED / CARD
    before, start, rest = card.read_text().partition(START)
    _, end, after = rest.partition(END)
    card.write_text(before + start + _text(measured) + end + after)


def _without(content: str, name: str) -> str:
    """Return a manifest without the tables of one model."""
    parts = content.split("\n[")
    kept = [part for part in parts if part.split("]")[0].split(".")[0] != name]
    return "\n[".join(kept)


def _table(name: str, digest: str, measured: dict[str, Any]) -> str:
    both = measured["all"]["both"]
    return "\n".join(
        [
            f"[{name}]",
            f'version = "{VERSION}"',
            f'file = "{_FILES[name]}"',
            f'sha256 = "{digest}"',
            f'modality = "{"video" if name == MOUTH else "audio"}"',
            f'input = "{_INPUTS[name]}"',
            'licence = "MIT"',
            'origin = "linear projection, trained by scripts/train_agreement.py"',
            f'training_data = "{_TRAINING_DATA}"',
            "",
            f"[{name}.measured]",
            f"n = {both['untouched']}",
            f"auc = {both['auc']}",
            f"auc_ci = {both['auc_ci']}",
            "",
        ]
    )


def _text(measured: dict[str, Any]) -> str:
    """Write the card's table of figures."""
    lines = [
        "",
        (
            f"{measured['clips']} clips show a usable mouth and have sound; in "
            f"{measured['applicable']} of them ({measured['applicable_real']} with a real picture, "
            f"{measured['groups']} persons) a face speaks, as the comparison itself finds."
        ),
        "",
        "| clips | sound | untouched | moved | AUC (95 %) |",
        "|---|---|---|---|---|",
    ]
    for clips in ("all", "real"):
        for way, row in measured[clips].items():
            low, high = row["auc_ci"]
            name = "swapped or shifted" if way == "both" else way
            counts = f"{row['untouched']} | {row['moved']}"
            lines.append(f"| {clips} | {name} | {counts} | {row['auc']:.3f} ({low} to {high}) |")
    share = 100 * measured["offsets_found"]
    lines += ["", f"Of the shifts, {share:.0f} % were found to within 0.2 s.", "", ""]
    return "\n".join(lines)
