"""What the queue promises: a long task runs once, a killed worker's task comes back."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared import aws, depths
from shared.queues import queue_url, send_decision

pytestmark = [pytest.mark.integration, pytest.mark.alone]
PROGRAM = Path(__file__).parents[1] / "data" / "programs" / "slow_worker.py"
VISIBILITY_S = 4
#: What a receive waits at most, and what a busy machine takes to begin a task.
SLACK_S = 4


@pytest.fixture
def settings(aws_settings, sending):
    """Provisioned settings whose aggregate queue has a short visibility."""
    short = aws_settings.model_copy(
        update={"visibility_timeout_s": VISIBILITY_S, "receive_wait_s": 1}
    )
    url = queue_url(short, short.queue("aggregate"))
    aws.client(short, "sqs").set_queue_attributes(
        QueueUrl=url, Attributes={"VisibilityTimeout": str(VISIBILITY_S)}
    )
    return short


@pytest.fixture
def start(settings, tmp_path):
    """Start workers; end those that still run afterwards."""
    running = []

    def start_one(seconds: float, **more: str):
        environment = {
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
            "SLOW_S": str(seconds),
            **more,
        }
        with (tmp_path / f"worker-{len(running)}.log").open("w") as log:
            child = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                env=environment,
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


def notes(tmp_path) -> list[str]:
    path = tmp_path / "notes"
    return path.read_text().splitlines() if path.exists() else []


def wait_for(condition, timeout_s: float = 60) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, "waited too long"
        time.sleep(0.1)
    return time.monotonic() - started


def depth(settings):
    return next(row for row in depths.measure(settings) if row.name.endswith("-aggregate"))


def test_a_task_of_three_visibility_timeouts_runs_once(settings, start, tmp_path):
    start(3 * VISIBILITY_S)
    start(3 * VISIBILITY_S)
    send_decision(settings, "long")
    wait_for(lambda: "end" in notes(tmp_path))
    wait_for(lambda: depth(settings).in_flight == 0)

    assert notes(tmp_path) == ["start 1", "end"]
    assert depth(settings).visible == depth(settings).dead == 0


def test_a_queue_that_has_another_visibility_changes_nothing(settings, start, tmp_path):
    """As where an operator changes the setting, and the stack stays as it is."""
    url = queue_url(settings, settings.queue("aggregate"))
    aws.client(settings, "sqs").set_queue_attributes(
        QueueUrl=url, Attributes={"VisibilityTimeout": "1"}
    )
    start(2 * VISIBILITY_S)
    start(2 * VISIBILITY_S)
    send_decision(settings, "long")
    wait_for(lambda: "end" in notes(tmp_path))

    assert notes(tmp_path) == ["start 1", "end"]


def test_a_task_that_hangs_is_killed_and_comes_back(settings, start, tmp_path):
    worker = start(60, GUARDIAN_JOB_TIMEOUT_S="2")
    send_decision(settings, "hangs")

    wait_for(lambda: "start 2" in notes(tmp_path))

    assert "end" not in notes(tmp_path)
    assert worker.poll() is None


def test_a_killed_workers_task_is_back_within_the_timeout(settings, start, tmp_path):
    first = start(60)
    send_decision(settings, "orphan")
    wait_for(lambda: notes(tmp_path))
    second = start(0.1)
    time.sleep(3)  # the second worker is up and polling
    os.killpg(first.pid, signal.SIGKILL)

    waited = wait_for(lambda: "start 2" in notes(tmp_path))

    assert waited <= VISIBILITY_S + SLACK_S
    assert second.poll() is None


def test_a_failing_task_becomes_a_dead_letter(settings, start, tmp_path):
    start(0, GUARDIAN_VISIBILITY_TIMEOUT_S="2")
    send_decision(settings, "fails")

    wait_for(lambda: depth(settings).dead == 1)

    assert depth(settings).visible == depth(settings).in_flight == 0
    assert len([line for line in notes(tmp_path) if line.startswith("start")]) >= 2


def test_sigterm_finishes_the_task_in_hand(settings, start, tmp_path):
    worker = start(3)
    send_decision(settings, "last")
    wait_for(lambda: notes(tmp_path))

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(30) == 0
    assert notes(tmp_path) == ["start 1", "end"]
    assert depth(settings).visible == depth(settings).in_flight == 0
