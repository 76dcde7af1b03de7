"""However a process is ended, its work is finished or goes back: nothing is lost."""

import os
import signal
import time
from pathlib import Path

import pytest

from shared import aws
from shared.queues import queue_url, send_decision

pytestmark = pytest.mark.integration
#: Longer than each test: what comes back sooner was handed back.
VISIBILITY_S = 120


@pytest.fixture
def settings(aws_settings, sending):
    return aws_settings.model_copy(update={"visibility_timeout_s": VISIBILITY_S})


def test_a_grace_period_shorter_than_the_job_hands_it_back_at_once(
    settings, start, notes, depth, wait_for
):
    worker = start(GRACE_S=1)
    send_decision(settings, "long")
    wait_for(notes)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(60) == 0
    assert (depth().visible, depth().in_flight) == (1, 0)
    assert notes() == ["start 1"]


def test_a_job_that_ends_by_itself_finishes_beyond_the_grace_period(settings, start, notes):
    worker = start(slow_s=4, GRACE_S=1, EXIT_AFTER_JOBS=1)
    send_decision(settings, "long")

    assert worker.wait(100) == 0
    assert notes() == ["start 1", "end"]


def test_the_second_sigterm_hands_back_what_the_first_would_have_finished(
    settings, start, notes, depth, wait_for
):
    worker = start()
    send_decision(settings, "long")
    wait_for(notes)

    worker.send_signal(signal.SIGTERM)
    time.sleep(2)
    assert worker.poll() is None, "it finishes its work"
    assert depth().in_flight == 1
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(60) == 0
    assert (depth().visible, depth().in_flight) == (1, 0)


def test_a_task_that_kills_its_workers_is_a_dead_letter_in_the_end(
    settings, start, notes, depth, wait_for
):
    url = queue_url(settings, settings.queue("aggregate"))
    sqs = aws.client(settings, "sqs")
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    once = policy["Attributes"]["RedrivePolicy"].replace(": 5", ": 1").replace(':"5"', ':"1"')
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": once})
    worker = start()
    send_decision(settings, "kills")

    wait_for(lambda: depth().dead == 1)

    assert notes() == ["start 1"], "it never came as a copy that counts from one again"
    assert (depth().visible, depth().in_flight) == (0, 0)
    assert worker.poll() is None


def test_a_child_that_lost_its_gpu_is_replaced_and_its_message_is_done(
    settings, start, notes, tmp_path, wait_for
):
    worker = start(slow_s=0)
    send_decision(settings, "loses its GPU")

    wait_for(lambda: notes() == ["start 1", "end", "start 2", "end"])

    log = (tmp_path / "process-0.log").read_text()
    assert "child_replaced" in log
    assert "worker_lost" in log
    assert worker.poll() is None


def test_a_child_that_is_killed_while_it_waits_for_work_is_replaced(
    settings, start, notes, depth, wait_for
):
    worker = start(slow_s=0)
    send_decision(settings, "first")
    wait_for(lambda: notes() == ["start 1", "end"] and depth().in_flight == 0)

    os.kill(pool_child(worker), signal.SIGKILL)
    send_decision(settings, "second")

    wait_for(lambda: notes()[2:] == ["start 1", "end"])
    assert worker.poll() is None


def pool_child(worker):
    """The id of the process in which tasks run; the other child is billiard's own."""
    started = Path(f"/proc/{worker.pid}/task").glob("*/children")
    pids = [int(pid) for path in started for pid in path.read_text().split()]
    (found,) = [p for p in pids if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return found


def test_intake_ends_at_the_second_sigterm_without_waiting_for_its_poll(
    settings, start, depth, tmp_path, wait_for
):
    intake = start("-m", "workers.cli", "worker", "intake", RECEIVE_WAIT_S=20)
    log = tmp_path / "process-0.log"
    wait_for(lambda: "intake_listening" in log.read_text())
    # the event by which S3 tries a notification is done, and it polls again
    wait_for(lambda: (row := depth("uploads")).visible + row.in_flight == 0)
    time.sleep(1)

    intake.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert intake.poll() is None, "it waits for the answer to its poll"
    intake.send_signal(signal.SIGTERM)

    assert intake.wait(10) == 0


def test_a_worker_ends_without_a_trace(settings, start, tmp_path, wait_for):
    worker = start("-m", "workers.cli", "worker", "aggregator")
    log = tmp_path / "process-0.log"
    wait_for(lambda: "calling self.run()" in log.read_text())

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(60) == 0
    assert "Traceback" not in log.read_text()
    assert list((tmp_path / "work").iterdir()) == []
