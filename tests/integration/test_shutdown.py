"""However a process is ended, its work is finished or goes back: nothing is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared import aws, depths
from shared.queues import queue_url, send_decision

pytestmark = pytest.mark.integration
PROGRAM = Path(__file__).parents[1] / "data" / "programs" / "slow_worker.py"
#: Longer than each test: what comes back sooner was handed back.
VISIBILITY_S = 120
LONG_S = "90"


@pytest.fixture
def settings(aws_settings, sending):
    return aws_settings.model_copy(update={"visibility_timeout_s": VISIBILITY_S})


@pytest.fixture
def start(settings, tmp_path):
    """Start processes with changed settings; end those that still run afterwards."""
    running = []

    def start_one(*command, slow_s=LONG_S, **environment):
        changed = {f"GUARDIAN_{name}": str(value) for name, value in environment.items()}
        with (tmp_path / f"process-{len(running)}.log").open("w") as log:
            child = subprocess.Popen(
                [sys.executable, *command],
                env={
                    **os.environ,
                    "GUARDIAN_ENDPOINT_URL": settings.endpoint_url,
                    "GUARDIAN_PREFIX": settings.prefix,
                    "GUARDIAN_VISIBILITY_TIMEOUT_S": str(VISIBILITY_S),
                    "GUARDIAN_RECEIVE_WAIT_S": "1",
                    "GUARDIAN_METRICS_PORT": "0",
                    "GUARDIAN_WORK_DIR": str(tmp_path / "work"),
                    "PYTHONPATH": str(PROGRAM.parent),
                    "TMPDIR": str(tmp_path),
                    "SLOW_NOTES": str(tmp_path / "notes"),
                    "SLOW_S": str(slow_s),
                    **changed,
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        running.append(child)
        return child

    yield start_one
    for child in running:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes"
    return lambda: path.read_text().splitlines() if path.exists() else []


def wait_for(condition, timeout_s=100.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def depth(settings, name="aggregate"):
    full = settings.queue(name)
    return next(row for row in depths.measure(settings) if row.name == full)


def test_a_grace_period_shorter_than_the_job_hands_it_back_at_once(settings, start, notes):
    worker = start(str(PROGRAM), GRACE_S=1)
    send_decision(settings, "long")
    wait_for(notes)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(60) == 0
    assert (depth(settings).visible, depth(settings).in_flight) == (1, 0)
    assert notes() == ["start 1"]


def test_a_job_that_ends_by_itself_finishes_beyond_the_grace_period(settings, start, notes):
    worker = start(str(PROGRAM), slow_s=4, GRACE_S=1, EXIT_AFTER_JOBS=1)
    send_decision(settings, "long")

    assert worker.wait(100) == 0
    assert notes() == ["start 1", "end"]


def test_the_second_sigterm_hands_back_what_the_first_would_have_finished(settings, start, notes):
    worker = start(str(PROGRAM))
    send_decision(settings, "long")
    wait_for(notes)

    worker.send_signal(signal.SIGTERM)
    time.sleep(2)
    assert worker.poll() is None, "it finishes its work"
    assert depth(settings).in_flight == 1
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(60) == 0
    assert (depth(settings).visible, depth(settings).in_flight) == (1, 0)


def test_a_task_that_kills_its_workers_is_a_dead_letter_in_the_end(settings, start, notes):
    url = queue_url(settings, settings.queue("aggregate"))
    sqs = aws.client(settings, "sqs")
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    once = policy["Attributes"]["RedrivePolicy"].replace(": 5", ": 1").replace(':"5"', ':"1"')
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": once})
    worker = start(str(PROGRAM))
    send_decision(settings, "kills")

    wait_for(lambda: depth(settings).dead == 1)

    assert notes() == ["start 1"], "it never came as a copy that counts from one again"
    assert (depth(settings).visible, depth(settings).in_flight) == (0, 0)
    assert worker.poll() is None


def test_a_child_that_lost_its_gpu_is_replaced_and_its_message_is_done(
    settings, start, notes, tmp_path
):
    worker = start(str(PROGRAM), slow_s=0)
    send_decision(settings, "loses its GPU")

    wait_for(lambda: notes() == ["start 1", "end", "start 2", "end"])

    log = (tmp_path / "process-0.log").read_text()
    assert "child_replaced" in log
    assert "worker_lost" in log
    assert worker.poll() is None


def test_intake_ends_at_the_second_sigterm_without_waiting_for_its_poll(settings, start, tmp_path):
    intake = start("-m", "workers.cli", "worker", "intake", RECEIVE_WAIT_S=20)
    log = tmp_path / "process-0.log"
    wait_for(lambda: "intake_listening" in log.read_text())
    time.sleep(1)

    intake.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert intake.poll() is None, "it waits for the answer to its poll"
    intake.send_signal(signal.SIGTERM)

    assert intake.wait(10) == 0


def test_a_worker_ends_without_a_trace(settings, start, tmp_path):
    worker = start("-m", "workers.cli", "worker", "aggregator")
    log = tmp_path / "process-0.log"
    wait_for(lambda: "calling self.run()" in log.read_text())

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(60) == 0
    assert "Traceback" not in log.read_text()
    assert list((tmp_path / "work").iterdir()) == []
