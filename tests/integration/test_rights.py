"""What each process asks of AWS in a run of the fleet: the calls that its role is compared with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import Settings
from workers import local, submit
from workers.samples import SAMPLES

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "data" / "programs"))
from recording_proxy import RecordingProxy  # noqa: E402  # a test program, not a package

pytestmark = pytest.mark.integration
RECORDED = ROOT / "tests" / "deploy" / "recorded_calls.txt"
WORKERS = ("intake", "audio", "video", "aggregator")


def start(worker, endpoint, directory):
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": worker,
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_ENDPOINT_URL": endpoint,
        "GUARDIAN_METRICS_PORT": "0",
        "GUARDIAN_RECEIVE_WAIT_S": "1",
        "GUARDIAN_SWEEP_INTERVAL_S": "1",
        "GUARDIAN_WORK_DIR": str(directory / worker),
    }
    with (directory / f"{worker}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "worker", worker],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def test_the_recorded_calls_are_those_of_a_run(tmp_path):
    """Run with RECORD_CALLS=1 to add new calls to the record; what no longer happens fails."""
    with local.running(
        Settings(state_dir=tmp_path, work_dir=tmp_path / "work"), roles=()
    ) as system:
        proxy = RecordingProxy(system.endpoint_url)
        processes = [start(worker, proxy.url, tmp_path) for worker in WORKERS]
        try:
            upload = submit.put(system.settings, SAMPLES[0], lambda _: None)
            *_, job = submit.follow(system.settings, upload.job_id, 200)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)
            proxy.shutdown()
            proxy.server_close()
    assert job.status == "complete"
    made = {" ".join(call) for call in proxy.calls}
    # Whichever half is the second asks for the verdict: chance decides, both are recorded.
    swapped = {
        line.replace(one, two, 1)
        for one, two in (("audio ", "video "), ("video ", "audio "))
        for line in made
        if line.startswith(one) and line.endswith(" silver-guardian-aggregate")
    }
    if os.environ.get("RECORD_CALLS"):
        RECORDED.write_text("\n".join(sorted(made | swapped)) + "\n")

    assert made | swapped == set(RECORDED.read_text().splitlines())
