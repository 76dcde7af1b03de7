"""AWS answers for a part of a batch, or a page at a time: nothing of the rest is dropped unseen."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from botocore.stub import Stubber

from shared import aws, deletion, erasure, items, listing, queues
from shared.errors import ServiceUnavailable
from shared.settings import Settings
from shared.visibility import Receipt
from workers.intake.service import _Intake

pytestmark = pytest.mark.unit
SETTINGS = Settings(prefix="acme-guardian", region="eu-west-1")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
#: Where a page of the index ends.
HERE = {"pk": {"S": "here"}}


@pytest.fixture
def warnings(monkeypatch):
    """What is logged of messages that are not deleted."""
    told = []
    log = SimpleNamespace(warning=lambda event, **values: told.append((event, values)))
    monkeypatch.setattr(deletion, "_log", log)
    return told


@pytest.fixture
def answer(monkeypatch):
    """Stand in for AWS: each operation is a function of its request."""

    def stand_in(**operations):
        client = SimpleNamespace(**operations)
        monkeypatch.setattr(aws, "client", lambda *_: client)
        return client

    monkeypatch.setattr("time.sleep", lambda _: None)
    return stand_in


class Table:
    """Rows of which a BatchGetItem reads `at_once`, and an index with pages of its own."""

    def __init__(self, names, at_once, pages=None):
        self.names, self.at_once, self.asked = names, at_once, []
        self.pages = iter(pages or [names])
        self.left = len(pages or [names])

    def batch_get_item(self, RequestItems):  # noqa: N803  # as boto3 calls it
        ((table, request),) = RequestItems.items()
        self.asked.append(len(request["Keys"]))
        taken, rest = request["Keys"][: self.at_once], request["Keys"][self.at_once :]
        rows = [{**key, "body": {"S": f'"{key["pk"]["S"]}"'}} for key in taken]
        return {
            "Responses": {table: rows} if rows else {},
            "UnprocessedKeys": {table: {**request, "Keys": rest}} if rest else {},
        }

    def query(self, **_):
        self.left -= 1
        page = {"Items": [{"pk": {"S": name}} for name in next(self.pages)]}
        return {**page, "LastEvaluatedKey": HERE} if self.left else page


def asking(answer, table):
    answer(query=table.query, batch_get_item=table.batch_get_item)
    return table


def test_rows_that_a_batch_leaves_out_are_asked_for_again(answer):
    table = asking(answer, Table(["c", "b", "a"], at_once=2))

    assert list(items.every(SETTINGS, "worker")) == ["c", "b", "a"]
    assert table.asked == [3, 1]

    asking(answer, Table([], at_once=1))
    assert items.existing(SETTINGS, ["a", "b"]) == {"a", "b"}


@pytest.mark.parametrize(
    "read", [lambda: list(items.every(SETTINGS, "audit")), lambda: items.existing(SETTINGS, ["a"])]
)
def test_rows_that_are_left_out_every_time_are_an_error(answer, read):
    table = asking(answer, Table(["a"], at_once=0))

    with pytest.raises(ServiceUnavailable, match="left rows out"):
        read()
    assert len(table.asked) == 1 + len(items._RESTS_S)


def test_an_empty_page_of_the_index_does_not_end_a_list(answer):
    asking(answer, Table([], at_once=9, pages=[[], ["b"], [], ["a"]]))
    assert list(items.every(SETTINGS, "worker")) == ["b", "a"]


def test_an_empty_page_of_a_shard_does_not_end_the_list_of_jobs(answer):
    row = {
        "pk": {"S": "j"},
        "status": {"S": "queued"},
        "bucket": {"S": "b"},
        "object_key": {"S": "uploads/a"},
        "created": {"S": NOW.isoformat()},
        "updated": {"S": NOW.isoformat()},
    }
    pages = iter([{"Items": [], "LastEvaluatedKey": HERE}, {"Items": [row]}])
    answer(query=lambda **_: next(pages))

    assert [found.job_id for found in listing.newest(SETTINGS, 1, 5)] == ["j"]


@pytest.mark.parametrize("errors", [[], [{"Key": "reports/j/b", "Code": "SlowDown"}]])
def test_an_erasure_ends_when_nothing_is_left_or_says_why_not(errors):
    keys = [{"Key": "reports/j/a"}, {"Key": "reports/j/b"}]
    with Stubber(aws.client(SETTINGS, "s3")) as s3:
        s3.add_response("list_objects_v2", {"IsTruncated": True, "NextContinuationToken": "t"})
        s3.add_response("list_objects_v2", {"Contents": keys})
        s3.add_response("delete_objects", {"Errors": errors})
        if errors:
            with pytest.raises(ServiceUnavailable, match="SlowDown"):
                erasure._remove_all(SETTINGS, "reports/j/")
        else:
            s3.add_response("list_objects_v2", {})
            assert erasure._remove_all(SETTINGS, "reports/j/") == 2
        s3.assert_no_pending_responses()


def failed(request):
    """Answer a batch of SQS, the last entry of which it does not take."""
    *_, last = request["Entries"]
    return {"Failed": [{"Id": last["Id"], "Code": "InternalError", "SenderFault": False}]}


def test_a_task_that_sqs_does_not_take_is_told_to_its_job_alone(answer, monkeypatch):
    def ask(_settings, _task, job_id):
        return {"QueueUrl": "q", "MessageBody": job_id}

    monkeypatch.setattr(queues, "_request", ask)
    answer(send_message_batch=lambda **request: failed(request))

    refused = queues.send_analyses(SETTINGS, "audio", ["a", "b", "c"])

    assert list(refused) == ["c"]
    assert isinstance(refused["c"], ServiceUnavailable)


def test_messages_that_stay_are_counted_with_the_cause(answer, warnings):
    answer(delete_message_batch=lambda **request: failed(request))
    done = deletion.Deletion(SETTINGS)
    done.add(Receipt("q", "one", 1))

    done.flush()

    assert warnings == [("not_deleted", {"count": 1, "error": "InternalError"})]


async def test_intake_counts_the_messages_that_stay_with_the_cause(warnings):
    async def delete_message_batch(**request):
        return failed(request)

    intake = _Intake.__new__(_Intake)  # without its queues
    intake._url, intake._sqs = "q", SimpleNamespace(delete_message_batch=delete_message_batch)

    await intake._delete([{"ReceiptHandle": "one"}, {"ReceiptHandle": "two"}])

    assert warnings == [("not_deleted", {"count": 1, "error": "InternalError"})]
