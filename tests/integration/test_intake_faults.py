"""Intake when AWS fails and when it is told to stop: every message is done or comes again."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from shared.records import JobStatus
from shared.telemetry import RECEIVE_ERRORS
from workers.health import STUCK_S

pytestmark = pytest.mark.integration
VIDEO = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(200)


async def test_failing_receives_are_counted_and_survived(house, failing):
    upload = house.put("uploads/call.mp4", VIDEO)
    errors = RECEIVE_ERRORS.labels(house.settings.queue("uploads"))._value
    seen = []

    def fails(action):
        if action.endswith("ReceiveMessage"):
            seen.append(action)
            return len(seen) <= 3
        return False

    with failing(fails) as url:
        async with house.running(endpoint_url=url) as intake:
            await house.until(lambda: upload.key in house.jobs())
            assert intake._is_ready()

    assert errors.get() == 3


@pytest.mark.parametrize(
    ("broken", "fault"), [("S3.GET", True), ("S3.GET", "cut"), ("PutItem", True)]
)
async def test_a_passing_fault_brings_the_message_back_before_its_time_out(
    house, failing, broken, fault
):
    upload = house.put("uploads/call.mp4", VIDEO)
    actions, seen = [], []

    def fails(action):
        actions.append(action)
        # a process that starts writes that it is there, too; that write is not meant
        if action.endswith(broken) and "S3.GET" in actions:
            seen.append(action)
            return fault if len(seen) == 1 else False
        return False

    with failing(fails) as url:
        async with house.running(endpoint_url=url):
            await house.until(lambda: upload.key in house.jobs() and house.is_empty())

    assert house.store.get(upload.job_id).status is JobStatus.QUEUED
    assert house.sent() == (1, 1)
    assert len(seen) >= 2
    assert house.depth().dead == 0


async def test_a_letter_that_cannot_be_kept_is_not_deleted(house, failing):
    house.send(text="hello")
    seen = []

    def fails(action):
        if action.endswith("SendMessage"):
            seen.append(action)
        return action.endswith("SendMessage")

    with failing(fails) as url:
        async with house.running(endpoint_url=url):
            await house.until(lambda: seen)

    row = house.depth()
    assert (row.visible + row.in_flight, row.dead) == (1, 0)


async def test_intake_is_ready_only_after_a_receive_and_stuck_only_without_a_try(house, failing):
    with failing(lambda action: action.endswith("ReceiveMessage")) as url:
        async with house.running(endpoint_url=url) as intake:
            await asyncio.sleep(1)
            assert not intake._is_ready()
            assert intake._is_alive()
            intake._looked -= STUCK_S
            assert not intake._is_alive()
            await house.until(intake._is_alive)


async def test_a_stop_hands_back_at_once_what_has_not_begun(house):
    keys = {house.put(f"uploads/{number}.mp4", VIDEO).key for number in range(10)}
    async with house.running(intake_concurrency=1) as intake:
        intake._batch = 10
        await house.until(house.jobs)

    row, begun = house.depth(), house.jobs()
    assert row.in_flight == 0
    assert 0 < len(begun) < 10
    assert row.visible + len(begun) >= 10
    await house.drain()
    assert set(house.jobs()) == keys


# --- the process ----------------------------------------------------------------------------------


@pytest.fixture
def start(house, tmp_path):
    """Start `guardian worker intake` as the pod does; returns the child and its log file."""
    children = []

    def start(prefix=house.settings.prefix):
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": house.settings.endpoint_url,
            "GUARDIAN_PREFIX": prefix,
            "GUARDIAN_METRICS_PORT": "0",
            "GUARDIAN_RECEIVE_WAIT_S": "5",
            "GUARDIAN_LOG_LEVEL": "debug",
            "GUARDIAN_WORK_DIR": str(house.settings.work_dir),
        }
        log = tmp_path / "intake.log"
        command = [sys.executable, "-m", "workers.cli", "worker", "intake"]
        with log.open("w") as file:
            children.append(subprocess.Popen(command, env=environment, stderr=file))
        return children[-1], log

    yield start
    for child in children:
        child.kill()
        child.wait()


async def test_sigterm_ends_the_process_with_0_and_loses_nothing(house, start):
    keys = {house.put(f"uploads/{number}.mp4", VIDEO).key for number in range(40)}
    child, log = start()
    await house.until(lambda: len(house.jobs()) > 3)
    child.send_signal(signal.SIGTERM)

    assert await asyncio.to_thread(child.wait, 30) == 0, log.read_text()
    assert house.depth().in_flight == 0

    await house.drain()
    assert set(house.jobs()) == keys
    assert min(house.sent()) >= len(keys)


async def test_what_a_last_poll_brings_is_handed_back(house, start):
    """SQS gives messages to a poll that was cut; nobody would see them for minutes."""
    child, log = start()
    await house.until(lambda: house.is_empty() and "ignored" in log.read_text())
    await asyncio.sleep(1)  # it polls again
    child.send_signal(signal.SIGTERM)
    await asyncio.sleep(1)
    house.put("uploads/late.mp4", VIDEO)

    assert await asyncio.to_thread(child.wait, 30) == 0, log.read_text()
    row = house.depth()
    assert (row.visible, row.in_flight) == (1, 0)
    assert house.jobs() == {}


async def test_without_its_queue_the_process_says_so(start):
    child, log = start(prefix="nothing-here")

    assert await asyncio.to_thread(child.wait, 60) == 1
    assert "nothing-here-uploads" in log.read_text()
