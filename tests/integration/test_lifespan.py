"""A worker that is a Kubernetes Job ends by itself, with status 0 and nothing lost."""

import os
import subprocess
import sys
import time

import httpx
import pytest

from shared import depths
from shared.models import may_use_gpu
from shared.settings import Settings
from workers import local

pytestmark = pytest.mark.integration
_SEND = """
from shared import queues, settings
for job_id in ("one", "two"):
    queues.send_decision(settings.get_settings(), job_id)
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    settings = Settings(
        state_dir=tmp_path_factory.mktemp("state"), work_dir=tmp_path_factory.mktemp("work")
    )
    with local.running(settings, roles=()) as running:
        yield running


def environment(system, **settings):
    return {
        **os.environ,
        "AWS_ENDPOINT_URL": system.endpoint_url,
        "GUARDIAN_EXIT_AFTER_JOBS": "1",
        "GUARDIAN_RECEIVE_WAIT_S": "1",
        "GUARDIAN_METRICS_PORT": "0",
        "GUARDIAN_WORK_DIR": str(system.settings.work_dir),
        **settings,
    }


def run(system, *arguments, **settings):
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(system, **settings),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def run_worker(system, role="aggregator", **settings):
    return run(system, "-m", "workers.cli", "worker", role, **settings)


def waiting(system):
    (row,) = [row for row in depths.measure(system.settings) if row.name.endswith("-aggregate")]
    return row.visible + row.in_flight + row.delayed


def test_with_nothing_to_do_it_ends_after_three_empty_polls(system):
    started = time.monotonic()
    done = run_worker(system)

    assert done.returncode == 0, done.stderr
    assert '"jobs": 0' in done.stderr
    assert time.monotonic() - started > 3


def test_it_ends_after_its_job_and_leaves_the_next(system):
    sent = run(system, "-c", _SEND)
    assert sent.returncode == 0, sent.stderr
    done = run_worker(system)

    assert done.returncode == 0, done.stderr
    assert '"jobs": 1' in done.stderr
    assert waiting(system) == 1


def test_it_stays_until_what_it_counted_is_read(system, tmp_path, wait_for):
    port = local.free_port()
    log = tmp_path / "log"
    with log.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "worker", "aggregator"],
            env=environment(system, GUARDIAN_METRICS_PORT=str(port)),
            stderr=output,
        )

    def read():
        try:
            return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
        except httpx.TransportError:
            return None

    try:
        wait_for(read)
        wait_for(lambda: "worker_ending" in log.read_text())
        time.sleep(3)
        assert worker.poll() is None, log.read_text()
        assert "guardian_verdicts_total" in read()
        wait_for(lambda: read() is None)  # a busy machine may have been read before it waited
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.skipif(may_use_gpu("cuda"), reason="needs a machine whose GPU cannot be used")
def test_a_worker_whose_models_cannot_be_loaded_ends_and_takes_nothing(system):
    send = "from shared import queues, settings; "
    send += "queues.send_analysis(settings.get_settings(), 'audio', 'one')"
    assert run(system, "-c", send).returncode == 0

    done = run_worker(system, "audio", GUARDIAN_DEVICE="cuda", GUARDIAN_EXIT_AFTER_JOBS="0")

    assert done.returncode == 1
    assert "CUDA was asked for" in done.stderr
    row = next(row for row in depths.measure(system.settings) if row.name.endswith("-audio"))
    assert (row.visible, row.in_flight, row.delayed) == (1, 0, 0)
