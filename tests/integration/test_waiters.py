"""The longest waiter is found behind many younger jobs, and kept in view until it is done."""

from datetime import UTC, datetime, timedelta

import pytest

from shared import aws
from shared.jobs import SHARDS, JobStore
from shared.presence import Worker
from shared.records import Outcome, PartialResult, Upload
from workers.console.waiters import Waiters

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)


@pytest.fixture
def store(aws_settings, sending):
    return JobStore(aws_settings)


def new_job(store, name, made):
    upload = Upload(bucket="b", key=f"uploads/{name}", etag="e", size_bytes=1)
    return store.create(upload, made).job


def ages(waiters, store):
    return waiters.look(store, NOW)


def test_who_was_postponed_behind_others_is_still_the_oldest(store):
    for number in range(5 * SHARDS):
        new_job(store, number, NOW - timedelta(minutes=10))
    oldest = new_job(store, "oldest", NOW - timedelta(hours=2))
    store.postpone(oldest, NOW)

    assert ages(Waiters(), store) == {"audio": 7200.0, "video": 7200.0}


def test_who_was_seen_once_is_remembered_until_its_half_is_there(store):
    waiters = Waiters()
    oldest = new_job(store, "oldest", NOW - timedelta(hours=2))
    ages(waiters, store)
    store.postpone(oldest, NOW)
    for number in range(30 * SHARDS):
        new_job(store, number, NOW - timedelta(minutes=10))

    assert ages(Waiters(), store)["audio"] == 600.0, "the index shows others first"
    assert ages(waiters, store) == {"audio": 7200.0, "video": 7200.0}
    half = PartialResult(modality="audio", outcome=Outcome.NOT_APPLICABLE, reason="no_speech")
    store.save_partial(oldest.job_id, half, NOW)
    assert ages(waiters, store) == {"audio": 600.0, "video": 7200.0}
    store.erase(oldest.job_id)
    assert ages(waiters, store) == {"audio": 600.0, "video": 600.0}


def test_one_that_another_release_wrote_in_another_form_hides_none(aws_settings, store):
    waiters = Waiters()
    oldest = new_job(store, "oldest", NOW - timedelta(hours=2))
    new_job(store, "next", NOW - timedelta(minutes=5))
    ages(waiters, store)
    aws.client(aws_settings, "dynamodb").update_item(
        TableName=aws_settings.table,
        Key={"pk": {"S": oldest.job_id}},
        UpdateExpression="REMOVE object_key",
    )

    assert ages(waiters, store) == {"audio": 300.0, "video": 300.0}


def test_a_job_in_work_does_not_wait(store):
    long = new_job(store, "long", NOW - timedelta(hours=2))
    new_job(store, "next", NOW - timedelta(minutes=5))
    busy = Worker(name="v", role="video", doing=(long.job_id,), started_at=NOW, seen_at=NOW)

    assert Waiters().look(store, NOW, [busy]) == {"audio": 7200.0, "video": 300.0}
