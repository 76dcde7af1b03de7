"""Ship a trained voice detector: its file, its tables in the registry, the figures in its card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from shared.models import PACKAGED
from training.registry import write_entry

NAME = "voice-detector"
WORDS = {
    "version": "0.8.2",
    "file": f"{NAME}.onnx",
    "modality": "audio",
    "input": "float32 (batch, 64000): 4 s windows of mono PCM at 16 kHz",
    "licence": "MIT",
    "origin": "three layers of the encoder of Whisper base (MIT) with 8 bits, linear head and "
    "boosted trees on statistics of bands, cepstra and phases trained by scripts/train_audio.py",
    "training_data": "published demonstration clips of about 100 systems, some under "
    "non-commercial or unstated terms, and packaged recordings and synthesisers; see "
    "audio-voice-detector.md",
}
#: What a member of the detector is called in the card.
MEMBERS = {
    "encoder": "encoder with linear head",
    "trees": "trees on the statistics",
    "both": "both (shipped)",
    "both_32": "both, encoder with 32 bits",
}
_HEAD = (
    "| | genuine / spoof | AUC | 95 % | EER | 95 % | Cllr | false alarms | found |",
    "|---|---|---|---|---|---|---|---|---|",
)
_TELEPHONE = ("G.711, 8 kHz", "GSM, 8 kHz")


def ship(report: dict[str, Any], model: Path) -> None:
    """Copy a model to the package and write all that is told of it.

    Args:
        report: What `scripts/train_audio.py` printed.
        model: The exported graph.
    """
    shutil.copyfile(model, PACKAGED / WORDS["file"])
    clean, degraded = report["figures"]["clean"], report["figures"]["degraded"]
    measured = {
        "auc_unseen_sources": clean["auc"],
        "auc_unseen_sources_ci": clean["auc_ci"],
        "eer_unseen_sources": clean["eer"],
        "eer_unseen_sources_ci": clean["eer_ci"],
        "auc_unseen_sources_degraded": degraded["auc"],
        "eer_unseen_sources_degraded": degraded["eer"],
        "cllr_unseen_sources": clean["cllr"],
        "fpr_at_threshold": clean["fpr_at_threshold"],
    }
    write_entry(PACKAGED, NAME, WORDS, report["params"], measured)
    fill(sections(report))


def fill(parts: dict[str, list[str]]) -> None:
    """Write lines into the marked parts of the card."""
    card = PACKAGED / f"audio-{NAME}.md"
    text = card.read_text()
    for mark, lines in parts.items():
        before, start, rest = text.partition(f"<!-- {mark} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise SystemExit(f"The card has no place for {mark!r}.")
        text = before + start + "\n".join(lines) + "\n" + end + after
    card.write_text(text)


def sections(report: dict[str, Any]) -> dict[str, list[str]]:
    """Return the lines of each marked part of the card."""
    figures, robust = report["figures"], report["robustness"]
    clean = figures["clean"]
    ratio = max(row["eer"] for row in robust.values()) / robust["clean"]["eer"]
    telephone = [_percent(robust[name]["fpr_at_threshold"], 1) for name in _TELEPHONE]
    in_short = (
        "Of a genuine and a synthetic clip of voices and systems that it has never met, it gives "
        f"the synthetic one the higher ratio in {100 * clean['auc']:.0f} of 100 pairs."
    )
    worst = (
        f"The worst of these has an EER {ratio:.2f} times that of the clean clips. On genuine "
        f"speech through a telephone codec the false-alarm rate is {telephone[0]} (G.711) and "
        f"{telephone[1]} (GSM); the sample is small."
    )
    eight = report["eight_bits"]
    eight_bits = (
        f"Against the encoder with 32 bits, the ratios of {eight['windows']} clean windows move by "
        f"{eight['mean_shift']:.2f} on average and {eight['most_shift']:.2f} at most, and "
        f"{eight['flips']} cross the threshold; heads and calibration are fitted on the 8 bits."
    )
    return {
        "in short": [in_short],
        "eight bits": [eight_bits],
        "unseen sources": [
            f"At the threshold, LLR {clean['threshold']}:",
            "",
            *_HEAD,
            _row("clean", clean),
            _row("random degradation", figures["degraded"]),
            _row("clean, families of today", figures["clean, current families"]),
        ],
        "members": members_table(report["members"]),
        "pooling": _ranks_and_shares("weight", report["pooling"]),
        "in part": _ranks_and_shares("takes", report["in_part"]),
        "shortcuts": _shortcuts(report["shortcuts"]),
        "languages": [*_HEAD, *_rows(figures, "language ")],
        "families": [*_HEAD, *_rows(figures, "family ")],
        "conditions": [
            *_HEAD,
            *(_row(name, row) for name, row in robust.items()),
            "",
            worst,
        ],
        "splices": _splices(report["splices"]),
    }


def _splices(found: dict[str, Any]) -> list[str]:
    """Return what is located in recordings with a synthetic sentence, and in those without."""
    lines = ["| | recordings | located | findings elsewhere |", "|---|---|---|---|"]
    for kind, row in found["located"].items():
        elsewhere = row["wrong_findings_elsewhere"]
        lines.append(
            f"| {kind} | {found['recordings_each']} | {_percent(row['located'])} | {elsewhere} |"
        )
    lines += ["", "| | hours | wrong findings | an hour |", "|---|---|---|---|"]
    wrong = found["wrong"]
    every = {key: sum(row[key] for row in wrong.values()) for key in ("hours", "findings")}
    for kind, row in {**wrong, "all of these": every}.items():
        hourly = row["findings"] / row["hours"]
        lines.append(f"| {kind} | {row['hours']:.2f} | {row['findings']} | {hourly:.1f} |")
    told = (
        f"Of wholly synthetic recordings, {_percent(found['synthetic_with_findings'])} have a "
        "finding. As whole recordings the spliced ones are told from the genuine ones with AUC "
        f"{found['auc_of_recordings']:.2f}."
    )
    return [*lines, "", told]


def _ranks_and_shares(head: str, rows: dict[str, dict[str, float]]) -> list[str]:
    """Return a table whose columns are areas under the curve, named so, and shares."""
    columns = sorted(next(iter(rows.values())))
    lines = [f"| {head} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name, row in rows.items():
        cells = [
            f"{row[column]:.2f}" if column.startswith("auc") else _percent(row[column])
            for column in columns
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def members_table(members: dict[str, dict[str, float]]) -> list[str]:
    """Return the table of areas under the curve, a line for each detector, and a majority vote."""
    columns = next(iter(members.values()))
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name, row in members.items():
        cells = " | ".join(f"{value:.3f}" for value in row.values())
        lines.append(f"| {MEMBERS.get(name, name)} | {cells} |")
    return [*lines, f"| majority vote |{' 0.500 |' * len(columns)}"]


def published_table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table of ranks and equal error rates, with no word of calibration."""
    lines = [
        "| | genuine / spoof | AUC | 95 % | EER | 95 % | min Cllr |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in found.items():
        cells = _row(name, row).split(" | ")[:6]
        lines.append(f"{' | '.join(cells)} | {_number(row['min_cllr'])} |")
    return lines


def _shortcuts(found: dict[str, dict[str, float]]) -> list[str]:
    columns = (
        ("auc", "AUC"),
        ("correlation_with_score", "with score"),
        ("correlation_with_error_genuine", "errors on genuine"),
        ("correlation_with_error_spoof", "errors on synthetic"),
    )
    lines = [f"| | {' | '.join(title for _, title in columns)} |", "|---|" + "---|" * len(columns)]
    return lines + [
        f"| {name} | {' | '.join(f'{row[key]:.2f}' for key, _ in columns)} |"
        for name, row in found.items()
    ]


def _rows(figures: dict[str, Any], kind: str) -> list[str]:
    """Return a line for each language or family that has a name."""
    return [
        _row(name.removeprefix(kind), row)
        for name, row in figures.items()
        if name.startswith(kind) and name != f"{kind}none"
    ]


def _row(name: str, row: dict[str, Any]) -> str:
    cells = (
        f"{row['bonafide']} / {row['spoof']}",
        _number(row["auc"]),
        _interval(row["auc_ci"]),
        _percent(row["eer"]),
        _interval(row["eer_ci"]),
        _number(row["cllr"]),
        _percent(row["fpr_at_threshold"], 1),
        _percent(row["tpr_at_threshold"]),
    )
    return f"| {name} | {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def _interval(bounds: list[float | None] | None) -> str:
    if not bounds or bounds[0] is None:
        return "-"
    return f"{bounds[0]:.2f} to {bounds[1]:.2f}"
