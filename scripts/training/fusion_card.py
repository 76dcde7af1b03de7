"""What of a fitted meta-learner ships, and its rows in the registry and the card."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.models import PACKAGED

#: AUC of guessing.
CHANCE = 0.5
#: The two ways of combining between which the figures decide.
PLAIN, TUNED = "mixture, as calibrated", "mixture, fitted"
#: Marks around the figures in the card, and the order of its columns.
START, END = "<!-- figures -->", "<!-- end -->"
LABELS = ("likely_authentic", "inconclusive", "suspicious", "likely_manipulated")
Floats = NDArray[np.float64]


def shipped(
    fitted: Floats, figures: dict[str, dict[str, Any]], agreement: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the parameters: what won by group, and nothing that was not shown to help.

    Fitted scales are taken where they beat the detectors' own calibration in AUC and in Cllr on
    folds that they were not fitted on; agreement of sound and mouth where its AUC is above chance
    with its whole interval.
    """
    parameters: dict[str, Any] = json.loads((PACKAGED / "fusion.json").read_text())
    plain, tuned = figures[PLAIN], figures[TUNED]
    wins = tuned["auc"] > plain["auc"] and tuned["cllr"] < plain["cllr"]
    a, b, c, d = (round(float(x), 4) for x in fitted) if wins else (1.0, 0.0, 1.0, 0.0)
    parameters["trained"] = True
    parameters["audio"] |= {"scale": a, "shift": b}
    parameters["video"] |= {"scale": c, "shift": d}
    heard = agreement is not None and (agreement["auc_ci"][0] or 0.0) > CHANCE
    scale, shift = (agreement["scale"], agreement["shift"]) if agreement and heard else (0.0, 0.0)
    parameters["sync"] |= {"scale": scale, "shift": shift}
    return parameters


def write(parameters: dict[str, Any], measured: dict[str, Any]) -> None:
    """Write the parameters, their digest and the main figures to the registry."""
    content = json.dumps(parameters, indent=2) + "\n"
    (PACKAGED / "fusion.json").write_text(content)
    digest = hashlib.sha256(content.encode()).hexdigest()
    manifest = PACKAGED / "models.toml"
    before, table, rest = manifest.read_text().partition("[fusion]\n")
    own, following, after = rest.partition("\n[voice-activity]")
    own = re.sub(r'sha256 = "\w+"', f'sha256 = "{digest}"', own.split("\n[fusion.measured]")[0])
    figures = {name: measured["combinations"][PLAIN][name] for name in ("auc", "cllr", "ece")}
    lines = [f"{name} = {value}" for name, value in figures.items()]
    own = own.rstrip() + "\n\n[fusion.measured]\n" + "\n".join(lines) + "\n"
    manifest.write_text(before + table + own + following + after)
    card = PACKAGED / "fusion.md"
    before, start, rest = card.read_text().partition(START)
    _, end, after = rest.partition(END)
    card.write_text(before + start + figures_text(measured) + end + after)


def figures_text(measured: dict[str, Any]) -> str:
    """Write the card's part with the figures."""
    columns = ("cllr", "ece", "auc_voice", "auc_picture", "auc_both")
    lines = [
        "",
        f"{measured['voices']} voices, {measured['pictures']} pictures, {measured['pairs']} pairs.",
        "",
        "| combination | AUC (95 %) | Cllr | ECE | AUC voice | AUC picture | AUC both |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in measured["combinations"].items():
        low, high = row["auc_ci"]
        rest = " | ".join(f"{row[column]:.3f}" for column in columns)
        lines.append(f"| {name} | {row['auc']:.3f} ({low:.2f} to {high:.2f}) | {rest} |")
    lines += ["", f"| kind | {' | '.join(LABELS)} |", "|---|" + "---|" * len(LABELS)]
    for kind, shares in measured["labels"].items():
        cells = " | ".join(f"{100 * shares.get(label, 0):.0f} %" for label in LABELS)
        lines.append(f"| {kind} | {cells} |")
    found = measured["agreement"]
    if found:
        low, high = found["auc_ci"]
        lines += [
            "",
            f"Own against swapped and shifted sound, {found['clips']} comparisons:",
            f"AUC {found['auc']:.2f} ({low:.2f} to {high:.2f}), out of fold.",
        ]
    return "\n".join([*lines, "", ""])
