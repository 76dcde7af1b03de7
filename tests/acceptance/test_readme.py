"""The commands of the README, run as they stand there."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.strip().splitlines()]


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command.split(),
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=500,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_every_command_of_the_readme_is_run_here():
    assert set(COMMANDS) == {
        "./scripts/demo",
        ".venv/bin/guardian analyze workers/samples/manipulated.mp4",
        ".venv/bin/guardian local",
        ".venv/bin/guardian submit workers/samples/bona_fide.mp4",
        ".venv/bin/guardian jobs list",
        ".venv/bin/guardian queues",
        "./scripts/test",  # which runs this very test
    }


def test_the_demo_ends_in_a_verdict_on_each_sample(tmp_path):
    started = time.monotonic()
    done = run("./scripts/demo --json", GUARDIAN_STATE_DIR=str(tmp_path))
    took_s = time.monotonic() - started

    jobs = last_line(done)["jobs"]

    assert [job["status"] for job in jobs] == ["complete", "complete"]
    for job in jobs:
        assert set(job["verdict"]) >= {
            *("label", "probability", "llr", "prior", "interval", "reasons", "next_step"),
            *("audio_probability", "video_probability", "modalities_used", "model", "decided_at"),
        }
    bona_fide, manipulated = jobs
    assert bona_fide["verdict"]["label"] != "likely_manipulated"
    assert manipulated["verdict"]["label"] in ("suspicious", "likely_manipulated")
    # another test may run beside this one
    assert took_s < 180, "a first look at it takes a minute or two"


def test_one_file_alone():
    done = run(".venv/bin/guardian analyze workers/samples/manipulated.mp4 --json")

    document = last_line(done)
    assert set(document) >= {"audio", "video", "verdict"}
    shown = json.loads(re.search(r"```json\n(.*?)```", README, re.DOTALL)[1])
    assert document["verdict"]["label"] == shown["label"]
    for name in ("probability", "audio_probability", "video_probability"):
        assert document["verdict"][name] == pytest.approx(shown[name], abs=0.01), name


def test_the_local_system_until_ctrl_c(tmp_path):
    here = {"GUARDIAN_STATE_DIR": str(tmp_path)}
    server = subprocess.Popen(
        [".venv/bin/guardian", "local", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, **here},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        line = server.stdout.readline()
        assert "AWS_ENDPOINT_URL=http://127.0.0.1:" in line
        job = last_line(
            run(".venv/bin/guardian submit workers/samples/bona_fide.mp4 --json", **here)
        )
        assert job["status"] == "complete"
        listed = last_line(run(".venv/bin/guardian jobs list --json", **here))["jobs"]
        assert [row["job_id"] for row in listed] == [job["job_id"]]
        assert job["job_id"] in run(f".venv/bin/guardian jobs show {job['job_id']}", **here).stdout
        queues = last_line(run(".venv/bin/guardian queues --json", **here))["queues"]
        assert len(queues) == 4
    finally:
        server.send_signal(signal.SIGINT)
        status = server.wait(60)
        server.stdout.close()
    assert status == 0
    assert not (tmp_path / "local.json").exists()
