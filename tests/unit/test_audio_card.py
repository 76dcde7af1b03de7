"""What training writes about a voice detector: registry and card, from its report."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from training import audio_card
from training.registry import write_entry

from shared.models import PACKAGED

ROW: dict[str, Any] = {
    "bonafide": 20,
    "spoof": 30,
    "auc": 0.91,
    "auc_ci": [0.85, 0.95],
    "eer": 0.16,
    "eer_ci": [0.1, 0.2],
    "cllr": 0.6,
    "threshold": 2.5,
    "fpr_at_threshold": 0.015,
    "tpr_at_threshold": None,
}
REPORT: dict[str, Any] = {
    "params": {"scale": 1.5, "threshold": 2.5},
    "members": {name: {"clean": 0.8, "degraded": 0.7} for name in audio_card.MEMBERS},
    "figures": {
        name: {**ROW, "eer_ci": [None, None]} if name.startswith("language") else ROW
        for name in (
            *("clean", "degraded", "clean, current families"),
            *("language ko", "language none", "family vc", "family none"),
        )
    },
    "robustness": {
        "clean": ROW,
        "G.711, 8 kHz": {**ROW, "eer": 0.24},
        "GSM, 8 kHz": {**ROW, "fpr_at_threshold": 0.04},
    },
    "pooling": {"0.3": {"genuine": 0.02, "spliced": 0.2, "auc, spliced": 0.66}},
    "in_part": {"1 of 4": {"auc, in stretches": 0.9, "alarms, in stretches": 0.4}},
    "eight_bits": {"windows": 9, "mean_shift": 0.02, "most_shift": 0.1, "flips": 1},
    "shortcuts": {
        "duration": {
            "auc": 0.5,
            "correlation_with_score": 0.1,
            "correlation_with_error_genuine": -0.1,
            "correlation_with_error_spoof": 0.0,
        }
    },
    "splices": {
        "recordings_each": 40,
        "located": {"spliced": {"located": 0.25, "wrong_findings_elsewhere": 1}},
        "wrong": {
            "genuine": {"findings": 2, "hours": 0.5},
            "one voice": {"findings": 0, "hours": 0.3},
        },
        "synthetic_with_findings": 0.3,
        "auc_of_recordings": 0.75,
    },
}


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of registry and card that may be written."""
    for name in ("models.toml", "audio-voice-detector.md"):
        shutil.copy(PACKAGED / name, tmp_path / name)
    monkeypatch.setattr(audio_card, "PACKAGED", tmp_path)
    return tmp_path


def test_shipping_replaces_the_tables_of_the_detector_alone(packaged: Path) -> None:
    before = tomllib.loads((packaged / "models.toml").read_text())
    (packaged / "new.onnx").write_bytes(b"weights")

    audio_card.ship(REPORT, packaged / "new.onnx")

    after = tomllib.loads((packaged / "models.toml").read_text())
    own = after.pop(audio_card.NAME)
    del before[audio_card.NAME]
    assert after == before
    assert own["params"] == REPORT["params"]
    assert own["measured"]["auc_unseen_sources"] == ROW["auc"]
    assert (packaged / own["file"]).read_bytes() == b"weights"


def test_shipping_fills_every_part_of_the_card(packaged: Path) -> None:
    (packaged / "new.onnx").write_bytes(b"weights")

    audio_card.ship(REPORT, packaged / "new.onnx")

    text = (packaged / "audio-voice-detector.md").read_text()
    assert text.count("<!-- end -->") == len(
        {*audio_card.sections(REPORT), "candidates", "published"}
    )
    assert "| ko | 20 / 30 | 0.91 | 0.85 to 0.95 | 16 % | - | 0.60 | 1.5 % | - |" in text
    assert "an EER 1.50 times" in text
    assert "1.5 % (G.711) and 4.0 % (GSM)" in text
    assert "| spliced | 40 | 25 % | 1 |" in text
    assert "| all of these | 0.80 | 2 | 2.5 |" in text
    assert "| weight | auc, spliced | genuine | spliced |" in text
    assert "| 0.3 | 0.66 | 2 % | 20 % |" in text
    assert "| takes | alarms, in stretches | auc, in stretches |" in text
    assert "| 1 of 4 | 40 % | 0.90 |" in text
    assert "| none |" not in text


def test_a_card_without_a_place_for_the_figures_is_told(packaged: Path) -> None:
    (packaged / "new.onnx").write_bytes(b"weights")
    (packaged / "audio-voice-detector.md").write_text("# voice-detector\n")

    with pytest.raises(SystemExit, match="no place for 'in short'"):
        audio_card.ship(REPORT, packaged / "new.onnx")


def test_a_model_without_tables_gets_them(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text('[other]\nversion = "1"\n')
    (tmp_path / "one.onnx").write_bytes(b"weights")

    write_entry(tmp_path, "one", {"file": "one.onnx"}, {"scale": 2.0}, {"auc": 0.9})

    found = tomllib.loads((tmp_path / "models.toml").read_text())
    assert found["other"] == {"version": "1"}
    assert found["one"]["params"] == {"scale": 2.0}
    assert len(found["one"]["sha256"]) == 64


def test_published_weights_are_compared_by_rank_alone() -> None:
    lines = audio_card.published_table({"AASIST, clean": {**ROW, "min_cllr": 0.55}})

    assert lines[0] == "| | genuine / spoof | AUC | 95 % | EER | 95 % | min Cllr |"
    assert lines[2:] == [
        "| AASIST, clean | 20 / 30 | 0.91 | 0.85 to 0.95 | 16 % | 0.10 to 0.20 | 0.55 |"
    ]
