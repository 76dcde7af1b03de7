"""A message is kept while its work lasts; one that can be kept no longer is let go, and says so."""

import json
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from shared import aws, sqs_transport, visibility
from shared.errors import ServiceUnavailable
from shared.jobs import JobStore
from shared.queues import DECIDE_TASK, queue_url, send_decision
from shared.records import Upload
from shared.telemetry import LAST_RECEIVE
from shared.visibility import Keeper, Receipt
from workers import fleet

pytestmark = [pytest.mark.integration, pytest.mark.alone]
TIMEOUT_S = 2


@pytest.fixture
def told():
    return []


@pytest.fixture
def keeper(aws_settings, told):
    short = aws_settings.model_copy(update={"visibility_timeout_s": TIMEOUT_S})
    return Keeper(short, lambda job_id, error: told.append((job_id, error)))


@pytest.fixture
def sqs(aws_settings):
    return aws.client(aws_settings, "sqs")


@pytest.fixture
def url(aws_settings):
    return queue_url(aws_settings, aws_settings.queue("audio"))


@pytest.fixture
def receive(sqs, url):
    def once():
        answer = sqs.receive_message(
            QueueUrl=url, WaitTimeSeconds=0, VisibilityTimeout=TIMEOUT_S
        ).get("Messages", [])
        return [Receipt(url, message["ReceiptHandle"], 1, "some-job") for message in answer]

    return once


def test_a_message_in_hand_stays_invisible_and_then_comes_back(sqs, url, keeper, receive, wait_for):
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (receipt,) = receive()
    keeper.keep(receipt)
    began = time.time()
    time.sleep(1.5 * TIMEOUT_S)
    assert receive() == []
    heard_at = LAST_RECEIVE.labels(url.rpartition("/")[2])._value.get()
    assert heard_at > began, "a worker on a long job has not fallen silent"

    assert keeper.release(receipt.handle) == receipt
    assert keeper.release(receipt.handle) is None
    wait_for(receive)


def test_what_is_handed_back_is_visible_at_once(sqs, url, keeper, receive):
    for body in ("x", "y"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    while receipts := receive():
        for receipt in receipts:
            keeper.keep(receipt)

    assert keeper.hand_back() == 2
    assert receive()


@pytest.mark.parametrize("ending", ["hand_back", "release"])
def test_a_renewal_in_flight_hides_no_message_that_is_given_up(
    sqs, url, keeper, receive, wait_for, monkeypatch, ending
):
    """The renewal's request goes out first and reaches SQS late; then nothing more is renewed."""
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (receipt,) = receive()
    changes, sent, late = [], threading.Event(), threading.Event()
    real = visibility.change

    def slow(sqs, receipt, timeout_s):
        if timeout_s:
            sent.set()
            late.wait(30)
        real(sqs, receipt, timeout_s)
        changes.append(timeout_s)

    monkeypatch.setattr(visibility, "change", slow)
    keeper.keep(receipt)
    assert sent.wait(30)
    threading.Timer(0.3, late.set).start()
    if ending == "hand_back":
        keeper.hand_back()
    elif keeper.release(receipt.handle):
        visibility.change(sqs, receipt, 0)
    wait_for(lambda: len(changes) == 2)

    assert changes == [TIMEOUT_S, 0]
    assert receive()


def test_a_receipt_that_is_gone_is_let_go_and_the_job_is_told(
    sqs, url, keeper, receive, told, wait_for
):
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (receipt,) = receive()
    sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt.handle)
    keeper.keep(receipt)

    wait_for(lambda: told)

    assert [(job_id, error.code) for job_id, error in told] == [("some-job", "receipt_lost")]
    assert keeper.release(receipt.handle) is None
    time.sleep(TIMEOUT_S)
    assert len(told) == 1


def test_a_message_is_let_go_when_its_task_is_killed_and_before_sqs_does(
    aws_settings, sqs, url, receive, told, wait_for
):
    longest = aws_settings.model_copy(update={"job_timeout_s": 43_200})
    assert Keeper(longest, print)._longest_s == 12 * 3600 - longest.visibility_timeout_s
    short = {"visibility_timeout_s": TIMEOUT_S, "job_timeout_s": TIMEOUT_S}
    keeper = Keeper(
        aws_settings.model_copy(update=short), lambda job_id, error: told.append((job_id, error))
    )
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (receipt,) = receive()
    keeper.keep(receipt)

    wait_for(lambda: told)

    assert "seconds are the longest" in told[0][1].message
    wait_for(receive)


def test_a_job_that_cannot_be_told_does_not_end_the_thread(
    aws_settings, sqs, url, receive, wait_for
):
    def fails(*_):
        calls.append(1)
        raise ServiceUnavailable

    calls = []
    short = aws_settings.model_copy(update={"visibility_timeout_s": TIMEOUT_S})
    keeper = Keeper(short, fails)
    for wanted in (1, 2):
        sqs.send_message(QueueUrl=url, MessageBody="x")
        (receipt,) = receive()
        sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt.handle)
        keeper.keep(receipt)
        wait_for(lambda wanted=wanted: len(calls) == wanted)


def test_the_note_is_on_the_job_until_it_ends(aws_settings):
    store, now = JobStore(aws_settings), datetime.now(UTC)
    upload = Upload(bucket=aws_settings.uploads_bucket, key="uploads/a", etag="e")
    job_id = store.create(upload, now).job.job_id
    fleet._note(store, job_id, visibility.ReceiptLost())

    job = store.get(job_id)
    assert (job.status, job.error.code) == ("queued", "receipt_lost")


def test_the_job_of_a_task_is_known_from_its_message(aws_settings, sending, sqs):
    send_decision(aws_settings, "the-job")
    url = queue_url(aws_settings, aws_settings.queue("aggregate"))
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    payload = json.loads(message["Body"])

    assert sqs_transport._arguments(payload)["job_id"] == "the-job"
    channel = object.__new__(sqs_transport.Channel)
    channel.connection, channel._new_queue = SimpleNamespace(_noack_queues=()), lambda _: url
    for broken in (
        {"body": "no JSON"},
        {"body": "[" * 100_000, "properties": {}},
        {"headers": {"task": DECIDE_TASK}},
        {"headers": {"id": "1"}},
        {"properties": {**payload["properties"], "body_encoding": "rot13"}},
    ):
        raw = {**message, "Body": json.dumps(payload | broken)}
        assert channel._messages_to_python([raw], "aggregate") == []
