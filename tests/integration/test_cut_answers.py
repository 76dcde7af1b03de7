"""An answer of AWS that breaks off is asked for again, and never taken for all of it."""

from datetime import UTC, datetime

import pytest

from shared import aws
from shared.errors import ServiceUnavailable
from shared.jobs import JobStore
from shared.queues import queue_url
from workers.aggregator.lost import Patrol

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)


def read_a_row(settings, job_id):
    return JobStore(settings).get(job_id).job_id


def make_a_job_again(settings, job_id):
    store = JobStore(settings)
    return store.create(store.get(job_id).upload, NOW).job.job_id


def look_up_a_queue(settings, _):
    return queue_url(settings, settings.queue("audio"))


def list_a_bucket(settings, _):
    return Patrol(settings)._list()["Versions"][0]["Key"]


CALLS = [
    (read_a_row, "DynamoDB_20120810.GetItem"),
    (make_a_job_again, "DynamoDB_20120810.PutItem"),  # which is refused: it is there
    (look_up_a_queue, "AmazonSQS.GetQueueUrl"),
    (list_a_bucket, "S3.GET"),
]


@pytest.fixture
def job_id(house):
    return house.store.create(house.put("uploads/call.mp4", b"content"), NOW).job.job_id


@pytest.mark.parametrize(("call", "action"), CALLS)
def test_what_comes_by_half_is_a_passing_fault(house, failing, job_id, call, action):
    with failing(lambda asked: asked == action and "cut") as url:
        settings = house.settings.model_copy(update={"endpoint_url": url})
        with pytest.raises(ServiceUnavailable):
            call(settings, job_id)


@pytest.mark.parametrize(("call", "action"), CALLS)
def test_what_came_by_half_is_asked_for_again(house, failing, job_id, call, action, monkeypatch):
    seen = []

    def fails(asked):
        seen.append(asked)
        return asked == action and seen.count(action) == 1 and "cut"

    twice = aws._CONFIG["retries"] | {"total_max_attempts": 2}
    monkeypatch.setitem(aws._CONFIG, "retries", twice)
    with failing(fails) as url:
        settings = house.settings.model_copy(update={"endpoint_url": url})
        found = call(settings, job_id)

    assert found.rpartition("/")[2] == call(house.settings, job_id).rpartition("/")[2]
    assert seen.count(action) == 2
