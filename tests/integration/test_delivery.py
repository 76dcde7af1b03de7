"""What the queue promises: a long task runs once, a killed worker's task comes back."""

import os
import signal
import time

import pytest

from shared import aws
from shared.queues import queue_url, send_decision

pytestmark = [pytest.mark.integration, pytest.mark.alone]
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


def test_a_task_of_three_visibility_timeouts_runs_once(settings, start, notes, depth, wait_for):
    start(slow_s=3 * VISIBILITY_S)
    start(slow_s=3 * VISIBILITY_S)
    send_decision(settings, "long")
    wait_for(lambda: "end" in notes())
    wait_for(lambda: depth().in_flight == 0)

    assert notes() == ["start 1", "end"]
    assert depth().visible == depth().dead == 0


def test_a_queue_that_has_another_visibility_changes_nothing(settings, start, notes, wait_for):
    """As where an operator changes the setting, and the stack stays as it is."""
    url = queue_url(settings, settings.queue("aggregate"))
    aws.client(settings, "sqs").set_queue_attributes(
        QueueUrl=url, Attributes={"VisibilityTimeout": "1"}
    )
    start(slow_s=2 * VISIBILITY_S)
    start(slow_s=2 * VISIBILITY_S)
    send_decision(settings, "long")
    wait_for(lambda: "end" in notes())

    assert notes() == ["start 1", "end"]


def test_a_task_that_hangs_is_killed_and_comes_back(settings, start, notes, wait_for):
    worker = start(slow_s=60, JOB_TIMEOUT_S=2)
    send_decision(settings, "hangs")

    wait_for(lambda: "start 2" in notes())

    assert "end" not in notes()
    assert worker.poll() is None


def test_a_killed_workers_task_is_back_within_the_timeout(
    settings, start, notes, tmp_path, wait_for
):
    first = start(slow_s=60)
    send_decision(settings, "orphan")
    wait_for(notes)
    second = start(slow_s=0.1)
    log = tmp_path / "process-1.log"
    wait_for(lambda: "calling self.run()" in log.read_text())
    time.sleep(3)  # its models are loaded, and it polls
    os.killpg(first.pid, signal.SIGKILL)

    waited = wait_for(lambda: "start 2" in notes())

    assert waited <= VISIBILITY_S + SLACK_S
    assert second.poll() is None


def test_a_failing_task_becomes_a_dead_letter(settings, start, notes, depth, wait_for):
    start(slow_s=0, VISIBILITY_TIMEOUT_S=2)
    send_decision(settings, "fails")

    wait_for(lambda: depth().dead == 1)

    assert depth().visible == depth().in_flight == 0
    assert len([line for line in notes() if line.startswith("start")]) >= 2


def test_sigterm_finishes_the_task_in_hand(settings, start, notes, depth, wait_for):
    worker = start(slow_s=3)
    send_decision(settings, "last")
    wait_for(notes)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(30) == 0
    assert notes() == ["start 1", "end"]
    assert depth().visible == depth().in_flight == 0
