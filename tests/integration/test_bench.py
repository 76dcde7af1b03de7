"""Every bench runs on the smallest inputs and ends with the figures that others read."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from workers.commands.plan import plan_command

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.integration


@functools.cache
def bench(name, *options, inputs):
    """Run one bench quickly, once, and return the JSON of its last line."""
    command = [sys.executable, "-m", "benching", name, "--quick", "--json", *options]
    done = subprocess.run(
        [*command, "--inputs", str(inputs)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return tmp_path_factory.mktemp("inputs")


@pytest.mark.parametrize("name", ["audio", "video"])
def test_a_half_is_measured_by_stage_and_beside_the_naive_way(name, inputs):
    plot = inputs / f"{name}.svg"
    found = bench(name, "--plot", str(plot), inputs=inputs)

    assert found["bench"] == name
    assert found["realtime_factor"] > 0
    assert found["cpu_s_per_media_s"] > 0
    assert set(found["stages"]) == {"fetch", "decode", "prepare", "infer", "post"}
    assert found["stages"]["infer"] > 0
    assert found["reference"][0]["naive x real time"] > 0
    assert "<svg" in plot.read_text()


def test_the_plan_reads_what_a_bench_writes(inputs, tmp_path):
    found = bench("audio", "--plot", str(inputs / "audio.svg"), inputs=inputs)
    (tmp_path / "audio.json").write_text(json.dumps(found))
    words = ["--uploads-per-hour", "10", "--minutes", "1", "--json"]

    done = CliRunner().invoke(plan_command, [*words, "--bench", str(tmp_path / "audio.json")])

    rates = json.loads(done.stdout)["rates"]
    assert rates["audio"]["realtime_factor"] == found["realtime_factor"]


def test_decoding_is_measured_in_every_way(inputs):
    found = bench("decode", inputs=inputs)

    ways = {row["way"].partition(":")[0] for row in found["rows"]}
    assert ways == {"ours", "reference"}
    assert all(row["CPU s"] > 0 for row in found["rows"])


def test_the_fleet_is_measured_with_instant_analyzers(inputs):
    found = bench("fleet", inputs=inputs)

    assert found["delay_s"]["p50"] > 0
    assert {row["who"] for row in found["calls"]} == {"intake", "audio", "video", "aggregator"}
    assert found["calls_a_job_in_a_burst"] <= found["calls_a_job_alone"] + 1
    assert found["intake"]["share"] > 0
    for row in found["left"]:
        assert 0 < row["in its row"] <= row["bytes"]
    assert found["dollars_a_million_jobs"] > 0


def test_memory_is_measured_over_files_and_jobs(inputs):
    found = bench("memory", inputs=inputs)

    assert found["files"][0]["peak memory MB"] > 50
    assert found["jobs"]["last_mb"] < found["jobs"]["first_mb"] + 40


def test_scale_is_measured_and_planned(inputs):
    found = bench("scale", inputs=inputs)

    assert found["processes"][0]["jobs a minute"] > 0
    assert found["planned"][0]["uploads a day"] == 1_000


def test_the_page_takes_tables_and_a_picture_between_its_marks(inputs, tmp_path):
    page = tmp_path / "performance.md"
    page.write_text("# Page\n\n<!-- bench decode -->\nold\n<!-- end decode -->\n\nrest\n")

    bench("all", "--only", "decode", "--docs", str(page), inputs=inputs)

    text = page.read_text()
    assert "old" not in text
    assert "| recording |" in text
    assert text.endswith("rest\n")
    assert "<svg" in (tmp_path / "performance-decode.svg").read_text()
