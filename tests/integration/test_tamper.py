"""The generator of tampered clips and the evaluation on what it makes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import Settings
from workers.evaluate_tamper import LABELS, evaluate_tamper

PROGRAM = Path(__file__).parents[2] / "scripts" / "tamper.py"


@pytest.mark.timeout(300)
def test_the_generator_makes_every_type_and_its_clips_can_be_evaluated(tmp_path):
    sources, out = tmp_path / "sources", tmp_path / "out"
    sources.mkdir()
    command = [sys.executable, str(PROGRAM), str(sources), str(out)]

    subprocess.run([*command, "--clips", "11", "--untouched", "8"], check=True)

    manifest = out / "manifest.csv"
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"none", *LABELS}
    assert all((out / row["file"]).stat().st_size for row in rows)
    assert all(float(row["start_s"]) <= float(row["end_s"]) for row in rows)
    assert all(18 <= int(row["crf"]) <= 32 for row in rows)
    report = evaluate_tamper(manifest, Settings(), processes=1)
    assert report["clips"] == 19
    assert report["not_examined"] == {}
    json.dumps(report)
