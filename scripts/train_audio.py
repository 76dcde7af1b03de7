#!/usr/bin/env python3
"""Train the voice detector from a data folder: extend the pool, fit, cross-check, export."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent / "training"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from audio_candidates import CANDIDATES
from audio_card import fill, members_table, published_table, ship
from audio_compare import SETS, held_back, scores_of
from audio_export import export
from audio_extend import extend
from audio_figures import members, tables, truth_of
from audio_fit import (
    FOLDS,
    PENALTY,
    TREE_SHARE,
    Table,
    by_clip,
    cross_fit,
    cross_grow,
    logistic,
)
from audio_nets import FrontEnd
from audio_pool import LEAST_SPEECH_S, Clips, Figures, figures, prepare
from audio_published import published
from audio_quantize import Encoder8, quantise
from audio_robust import Condition, Folds, under_conditions
from audio_shortcuts import shortcuts
from audio_splices import pooling, put_together, splices
from audio_statistics import Statistics
from audio_weights import whisper
from parts import partly

from workers import evaluation
from workers.audio.pooling import Calibration

#: Layers of the encoder that are used, and degraded copies of each clip.
LAYERS = 3
POOL_COPIES, EXTENSION_COPIES = 2, 2
#: A quick run takes each of so many clips, and so many of each class under every condition.
QUICK_EVERY, QUICK_CLIPS = 12, 5
#: A statement is at most this strong: about the number of independent sources of one class.
LLR_LIMIT = 3.5
#: Share of genuine clips that may be above the threshold: clean and degraded ones together, and
#: under each condition of the robustness table.
FALSE_ALARMS = 0.05
#: Windows of a take, of which recordings are put together.
TAKE = 10

#: Weight of what a recording's highest quarter of windows has above their mean, as a share of the
#: mean's; chosen among `TOPS` by what long genuine recordings look like.
TOP_SHARE = 0.3
TOPS = (0.0, TOP_SHARE, 0.6, 0.9, 1.2)

#: Clips of one manifest, and the statistics of their windows.
Part = tuple[Clips, np.ndarray]


def main() -> None:
    """Run all stages; stages whose output is in the work folder are not run again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with manifest.csv and the clips it names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("build/audio"), help="intermediate files")
    parser.add_argument("--out", type=Path, default=Path("build/audio/voice-detector.onnx"))
    parser.add_argument("--write", action="store_true", help="ship: model, registry and card")
    parser.add_argument("--compare", action="store_true", help="print the table of candidates")
    parser.add_argument("--quick", action="store_true", help="few clips, to see that all runs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    heard = hear(arguments)
    if not arguments.compare:
        train(arguments, heard)
        return
    table, rows = tabulate(heard.parts, heard.encoded)
    clips = [part for part, _ in heard.parts]
    parts = {
        "published": against_published(clips[0], table, rows, arguments),
        "candidates": compare(clips, table, arguments),
    }
    print("\n\n".join("\n".join(lines) for lines in parts.values()))
    if arguments.write:
        fill(parts)


@dataclass
class Heard:
    """The clips of pool and extension, and what both members hear in their windows.

    Attributes:
        encoder: With 8 bits, as it ships.
        parts: Clips of each manifest, and the statistics of their windows.
        encoded: What the encoder says about these windows, by manifest.
        encoded_32: The same with 32 bits, to tell what 8 bits cost.
    """

    encoder: Encoder8
    parts: list[Part]
    encoded: list[Figures]
    encoded_32: list[Figures]


def hear(arguments: argparse.Namespace) -> Heard:
    """Extend the pool, trim and degrade all clips, and run both members over their windows."""
    work: Path = arguments.work
    manifest = work / "extension" / "manifest.csv"
    if not manifest.exists():
        extend(arguments.data, manifest.parent, arguments.seed, quick=arguments.quick)
    every = QUICK_EVERY if arguments.quick else 1
    pool = prepare(arguments.data / "manifest.csv", work / "pool", POOL_COPIES, every=every)
    extension = prepare(manifest, work / "ext", EXTENSION_COPIES)
    front_end = FrontEnd(whisper(), LAYERS).eval()
    encoder = quantise(front_end, pool, work / "encoder.onnx")
    heard = Heard(encoder, [], [], [])
    for name, clips in (("pool", pool), ("ext", extension)):
        heard.parts.append((clips, figures(clips, Statistics(), work / f"{name}_s.npz").values))
        heard.encoded.append(figures(clips, encoder, work / f"{name}_f8.npz"))
        heard.encoded_32.append(figures(clips, front_end, work / f"{name}_f.npz"))
    return heard


def train(arguments: argparse.Namespace, heard: Heard) -> None:
    """Fit, cross-check, export and report; with `--write`, ship."""
    table, rows = tabulate(heard.parts, heard.encoded)
    fitted, grown = cross_fit(table), cross_grow(table, arguments.seed)
    linear = fitted.scores[PENALTY]
    tree_weight = weight_of_trees(table, linear, grown.odds)
    score = linear + tree_weight * grown.odds
    pool = heard.parts[0][0]
    folds = Folds(fitted.fold_heads, grown.fold_trees, tree_weight)
    tried = (QUICK_CLIPS,) if arguments.quick else ()
    params = calibrate(table, score, fitted.head)
    conditions = under_conditions(pool, heard.encoder, folds, *tried)
    params["threshold"] = threshold(table, score, conditions, params)
    recordings = put_together(pool, heard.encoder, folds, params, *tried)
    report: dict[str, Any] = {"params": params}
    plain = cross_fit(tabulate(heard.parts, heard.encoded_32)[0]).scores[PENALTY]
    in_32 = plain + tree_weight * grown.odds
    report["members"] = members(
        table, {"encoder": linear, "trees": grown.odds, "both": score, "both_32": in_32}
    )
    llr = to_llr(score, params)
    report["eight_bits"] = eight_bits(table, llr, to_llr(in_32, params), params["threshold"])
    report["figures"] = tables(table, rows, llr, params["threshold"])
    report["robustness"] = {
        name: evaluation.summarise(
            to_llr(found.scores, params), found.fake, found.sources, params["threshold"]
        )
        for name, found in conditions.items()
    }
    write_scores(arguments.work / "scores.csv", table, rows, llr)
    report["splices"] = splices(recordings, params)
    report["pooling"] = {f"{share:g}": pooling(recordings, params, share) for share in TOPS}
    report["in_part"] = in_part(table, score, params)
    ratios = by_clip(llr[table.pool], table.of_pool(), 0)
    report["shortcuts"] = shortcuts(arguments.data, rows, *ratios)
    report["sha256"] = export(heard.encoder, fitted.head, grown.trees, tree_weight, arguments.out)
    text = json.dumps(report, indent=1)
    arguments.out.with_suffix(".json").write_text(text)
    print(text)
    if arguments.write:
        ship(report, arguments.out)


def in_part(
    table: Table, score: np.ndarray, params: dict[str, float]
) -> dict[str, dict[str, float]]:
    """Return what becomes of recordings of which one take of several is synthetic.

    A take is `TAKE` windows or more of one source, whoever speaks.
    """
    takes: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for fake, own in takes.items():
        clean = table.pool & (table.copy == 0) & (table.fake == fake)
        for source in np.unique(table.source[clean]):
            scores = score[clean & (table.source == source)]
            takes_of_source = np.array_split(scores, max(1, scores.size // TAKE))
            own += [take for take in takes_of_source if take.size >= TAKE]
    calibration = Calibration.from_params(params)
    judges = {"in stretches": calibration.of_recording, "as a whole": calibration.of_stretch}
    return partly(takes[False], takes[True], judges, params["threshold"])


def shipped_scores(table: Table, seed: int, sets: int = FOLDS) -> dict[str, np.ndarray]:
    """Return out-of-fold scores of both members, and of both together as they ship."""
    linear, odds = cross_fit(table, sets=sets).scores[PENALTY], cross_grow(table, seed, sets).odds
    both = linear + weight_of_trees(table, linear, odds) * odds
    return {"encoder": linear, "trees": odds, "both": both}


def weight_of_trees(table: Table, linear: np.ndarray, odds: np.ndarray) -> float:
    """Return what log-odds are multiplied with, so that they have their share of the score."""
    return TREE_SHARE * float(linear[table.pool].std() / odds[table.pool].std())


def against_published(
    pool: Clips, table: Table, rows: list[dict[str, str]], arguments: argparse.Namespace
) -> list[str]:
    """Return a table of what ships, on sources it never saw, and of AASIST, on the same clips."""
    chosen, theirs = published(pool, table)
    ours, found = shipped_scores(table, arguments.seed)["both"][chosen], {}
    for name, score in (("this detector", ours), ("AASIST", theirs)):
        clips, values = by_clip(score, table.part(chosen), 0)
        truth = truth_of([rows[index] for index in clips])
        found[name] = evaluation.summarise(values, *truth, 0.0)
    return published_table(found)


def compare(clips: list[Clips], table: Table, arguments: argparse.Namespace) -> list[str]:
    """Return a table of what ships and of networks of the field, tested on the same sources.

    A third of the sources is held back, so what ships has less to learn from, too.
    """
    chosen = held_back(table)
    shipped = shipped_scores(table, arguments.seed, SETS)
    scores = {name: score[chosen] for name, score in shipped.items()}
    for name in CANDIDATES:
        scores[name] = scores_of(name, clips, table, arguments.work, arguments.seed)
    return members_table(members(table.part(chosen), scores))


def eight_bits(
    table: Table, llr: np.ndarray, llr_32: np.ndarray, threshold: float
) -> dict[str, float]:
    """Return how far ratios of the pool's clean windows move by 8 bits, and how many flip."""
    chosen = table.pool & (table.copy == 0)
    small, plain = llr[chosen], llr_32[chosen]
    return {
        "windows": int(chosen.sum()),
        "mean_shift": round(float(np.abs(small - plain).mean()), 4),
        "most_shift": round(float(np.abs(small - plain).max()), 3),
        "flips": int(((small > threshold) != (plain > threshold)).sum()),
    }


def to_llr(score: np.ndarray, params: dict[str, float]) -> np.ndarray:
    """Return the limited log-likelihood ratios of scores."""
    return np.clip(params["scale"] * score + params["offset"], -LLR_LIMIT, LLR_LIMIT)


def threshold(
    table: Table, score: np.ndarray, conditions: dict[str, Condition], params: dict[str, float]
) -> float:
    """Return the ratio that few genuine clips exceed, all together and under every condition."""
    groups = [score[table.pool & ~table.fake]]
    groups += [found.scores[~found.fake] for found in conditions.values()]
    limits = [np.quantile(to_llr(group, params), 1 - FALSE_ALARMS) for group in groups]
    return round(float(max(limits)) + 5e-4, 3)


def write_scores(
    path: Path,
    table: Table,
    rows: list[dict[str, str]],
    llr: np.ndarray,
) -> None:
    """Write the out-of-fold ratios of the pool's clean clips, for the meta-learner."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["file", "label", "group", "llr"])
        for clip, value in zip(*by_clip(llr[table.pool], table.of_pool(), 0), strict=True):
            row = rows[clip]
            group = row["source"].removeprefix("self:")
            out.writerow([row["file"], row["label"], group, f"{value:.4f}"])


def tabulate(parts: list[Part], encoded: list[Figures]) -> tuple[Table, list[dict[str, str]]]:
    """Join the windows of pool and extension; clips with hardly any speech are left out."""
    columns: list[list[Any]] = [[] for _ in range(8)]
    rows: list[dict[str, str]] = []
    for number, ((clips, statistics), found) in enumerate(zip(parts, encoded, strict=True)):
        kept = clips.speech_s[found.clip] >= LEAST_SPEECH_S
        owners = [clips.rows[index] for index in found.clip[kept]]
        columns[0].append(found.values[kept])
        columns[1].append(np.array([row["label"] == "spoof" for row in owners]))
        columns[2].append(np.array([row["source"] for row in owners]))
        columns[3].append(found.clip[kept] + len(rows))
        columns[4].append(found.copy[kept])
        columns[5].append(np.full(kept.sum(), number == 0))
        columns[6].append(np.array([row["family"] for row in owners]))
        columns[7].append(statistics[kept])
        rows += clips.rows
    *rest, statistics = (np.concatenate(column) for column in columns)
    values, fake, maker, clip, copy, pool, family = rest
    source = np.char.replace(maker, "self:", "")
    return Table(values, statistics, fake, source, maker, clip, copy, pool, family), rows


def calibrate(table: Table, score: np.ndarray, head: Any) -> dict[str, float]:
    """Turn out-of-fold scores of the pool into parameters; copies with noise alone do not count."""
    weights = np.zeros(len(score))
    for copy in range(POOL_COPIES + 1):
        for truth in (True, False):
            chosen = table.pool & (table.copy == copy) & (table.fake == truth)
            weights[chosen] = 1000 / max(1, chosen.sum())
    scale, offset = logistic(score, table.fake, weights)
    genuine = table.pool & ~table.fake
    standard = np.clip((table.figures - head.mean) / head.deviation, -4, 4)
    distance = np.square(standard).mean(1)[table.pool]
    spread = float(np.std((scale * score)[genuine & (table.copy == 0)]))
    return {
        "scale": round(scale, 4),
        "top_scale": round(TOP_SHARE * scale, 4),
        "offset": round(offset, 4),
        "window_scale": round(0.8 * scale, 4),
        "window_offset": round(0.8 * offset, 4),
        "llr_limit": LLR_LIMIT,
        "spread": round(spread, 3),
        "distance_usual": round(float(np.quantile(distance, 0.95)), 4),
        "distance_unfamiliar": round(float(np.quantile(distance, 0.995)), 4),
    }


if __name__ == "__main__":
    main()
