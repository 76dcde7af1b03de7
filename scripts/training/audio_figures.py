"""Figures of out-of-fold scores by clip: of members, conditions, languages and families."""

from __future__ import annotations

from typing import Any

import numpy as np
from audio_fit import CURRENT, Table, by_clip

from workers import evaluation


def members(table: Table, scores: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return the AUC on unseen sources of each part alone, by clip: clean, current, degraded."""
    pooled = table.of_pool()
    found: dict[str, dict[str, float]] = {}
    current = ~pooled.fake | np.isin(pooled.family, CURRENT)
    for name, score in scores.items():
        values, found[name] = score[table.pool], {}
        for part, copy, chosen in (
            ("clean", 0, np.ones_like(current)),
            ("clean, current families", 0, current),
            ("degraded", 1, np.ones_like(current)),
            ("degraded, current families", 1, current),
        ):
            kept = chosen & (pooled.copy == copy)
            found[name][part] = round(evaluation.auc(values[kept], pooled.fake[kept]), 4)
    return found


def tables(
    table: Table, rows: list[dict[str, str]], llr: np.ndarray, threshold: float
) -> dict[str, Any]:
    """Return the out-of-fold figures of the pool: clean, degraded, by language and family."""
    found: dict[str, Any] = {}
    pooled = table.of_pool()
    for copy, name in ((0, "clean"), (1, "degraded"), (0, "clean, current families")):
        clips, values = by_clip(llr[table.pool], pooled, copy)
        lines = [rows[index] for index in clips]
        fake, groups = truth_of(lines)
        if name.endswith("families"):
            current = ~fake | np.array([row["family"] in CURRENT for row in lines])
            kept = [group for group, use in zip(groups, current, strict=True) if use]
            values, fake, groups = values[current], fake[current], kept
        found[name] = evaluation.summarise(values, fake, groups, threshold)
        if name != "clean":
            continue
        for column in ("language", "family"):
            for value in sorted({row[column] for row in lines}):
                chosen = np.array([row[column] == value for row in lines])
                if column == "family":
                    chosen |= ~fake
                if chosen.sum() >= 20 and (fake & chosen).sum() >= 10 and (~fake & chosen).any():
                    kept = [group for group, use in zip(groups, chosen, strict=True) if use]
                    found[f"{column} {value or 'none'}"] = evaluation.summarise(
                        values[chosen], fake[chosen], kept, threshold
                    )
    return found


def truth_of(rows: list[dict[str, str]]) -> tuple[np.ndarray, list[str]]:
    """Return which clips of a manifest are synthetic, and the source of each."""
    fake = np.array([row["label"] == "spoof" for row in rows])
    return fake, [row["source"].replace("self:", "") for row in rows]
