"""The short torture: real files through the fleet while AWS fails and processes are killed."""

import json
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]


def test_nothing_is_lost_in_a_storm():
    done = subprocess.run(
        [ROOT / "scripts" / "torture", "--short", "--seed", "72464", "--json"],
        capture_output=True,
        text=True,
        timeout=850,
    )
    outcome = json.loads(done.stdout.strip().splitlines()[-1])

    assert outcome["problems"] == []
    assert (done.returncode, outcome["ok"]) == (0, True)
    assert outcome["uploads"] >= 40
    jobs, weather, blows = outcome["jobs"], outcome["weather"], outcome["blows"]
    assert jobs["complete"] + jobs["rejected"] == outcome["uploads"]
    assert (jobs["files_left"], jobs["processes_left"]) == (0, 0)
    # it was a storm: calls failed, messages were doubled, delayed and lost, AWS was cut off, and
    # each kind of process was ended
    assert weather["cuts"] == 1
    assert any(what.startswith("fault_") for what in weather)
    for fate in ("events_doubled", "events_delayed", "events_lost", "tasks_doubled"):
        assert weather[fate]
    for role in ("intake", "audio", "video", "aggregator"):
        assert any(blow.startswith(role) for blow in blows)
