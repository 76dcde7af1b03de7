"""What is done is deleted by the batch: ten at once, fewer after a moment, all at the end."""

import pytest

from shared import aws
from shared.deletion import Deletion
from shared.queues import queue_url
from shared.visibility import Receipt

pytestmark = pytest.mark.integration


@pytest.fixture
def queue(aws_settings):
    """A queue with messages in flight, their receipts, and the sizes of the deletions."""
    sqs, url = aws.client(aws_settings, "sqs"), queue_url(aws_settings, aws_settings.queue("audio"))
    sizes = []

    def count(params, **_):
        sizes.append(len(params["Entries"]))

    def receipts(number):
        for at in range(number):
            sqs.send_message(QueueUrl=url, MessageBody=str(at))
        found = []
        while len(found) < number:
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
            found += [Receipt(url, row["ReceiptHandle"], 1) for row in answer["Messages"]]
        return found

    def left():
        answer = sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"])

    event = "provide-client-params.sqs.DeleteMessageBatch"
    sqs.meta.events.register(event, count)
    yield receipts, sizes, left
    sqs.meta.events.unregister(event, count)


def test_ten_go_at_once_and_the_rest_after_a_moment(aws_settings, queue, wait_for):
    receipts, sizes, left = queue
    deletion = Deletion(aws_settings)
    for receipt in receipts(13):
        deletion.add(receipt)

    assert (sizes, left()) == ([10], 3)
    wait_for(lambda: not left())
    assert (sizes, left()) == ([10, 3], 0)


def test_a_flush_deletes_what_waits_and_nothing_twice(aws_settings, queue):
    receipts, sizes, left = queue
    deletion = Deletion(aws_settings)
    for receipt in receipts(2):
        deletion.add(receipt)

    deletion.flush()
    deletion.flush()

    assert (sizes, left()) == ([2], 0)


def test_messages_that_cannot_be_deleted_come_again_and_break_nothing(aws_settings, queue):
    receipts, _, left = queue
    away = aws_settings.model_copy(update={"endpoint_url": "http://127.0.0.1:9"})
    deletion = Deletion(away)
    deletion.add(receipts(1)[0])

    deletion.flush()

    assert left() == 1
