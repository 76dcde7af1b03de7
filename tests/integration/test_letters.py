"""Dead letters tell the cause that their job knows, and go back or away by cause."""

from datetime import UTC, datetime

import pytest

from shared import aws, depths, letters, queues
from shared.errors import NoVerdict, SetupError
from shared.jobs import JobStore
from shared.models import Registry
from shared.queues import queue_url
from shared.records import MODALITIES, JobStatus, Outcome, PartialResult, Upload
from shared.telemetry import UNREADABLE
from workers.aggregator import fusion, service

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)


@pytest.fixture
def store(aws_settings, sending):
    return JobStore(aws_settings)


def bury(settings, queue):
    """Move every message of a queue to its dead letters."""
    sqs = aws.client(settings, "sqs")
    alive = queue_url(settings, settings.queue(queue))
    dead = queue_url(settings, settings.dead_letter_queue(queue))
    while messages := sqs.receive_message(QueueUrl=alive).get("Messages"):
        for message in messages:
            sqs.send_message(QueueUrl=dead, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=alive, ReceiptHandle=message["ReceiptHandle"])


def failed(store, settings, name, reason, modality="audio"):
    """A finished job whose half failed for a reason, its task among the dead letters."""
    upload = Upload(bucket=settings.uploads_bucket, key=f"uploads/{name}", etag="e")
    job_id = store.create(upload, NOW).job.job_id
    for each in MODALITIES:
        code = reason if each == modality else "no_result"
        half = PartialResult(
            modality=each, outcome=Outcome.FAILED, reason=code, message=f"{code}, at last"
        )
        store.save_partial(job_id, half, NOW)
    store.fail(job_id, NoVerdict(), NOW)
    queues.send_analysis(settings, modality, job_id)
    bury(settings, modality)
    return job_id


def test_causes_come_from_the_jobs_and_are_counted(store, aws_settings):
    for name in ("a", "b"):
        failed(store, aws_settings, name, "service_unavailable")
    failed(store, aws_settings, "c", "decoder_timeout")
    queues.send_analysis(aws_settings, "audio", "0" * 32)
    bury(aws_settings, "audio")

    rows = letters.read(aws_settings, "audio")

    assert letters.by_cause(rows) == {
        "service_unavailable": 2,
        "decoder_timeout": 1,
        "job_gone": 1,
    }
    assert {row.cause for row in rows} >= {"service_unavailable, at last"}


@pytest.mark.parametrize("use", [letters.read, letters.redrive, letters.discard])
def test_letters_whose_jobs_cannot_be_asked_for_are_put_back_at_once(store, aws_settings, use):
    failed(store, aws_settings, "a", "service_unavailable")
    aws.client(aws_settings, "dynamodb").delete_table(TableName=aws_settings.table)

    with pytest.raises(SetupError, match="jobs table"):
        use(aws_settings, "audio")

    (row,) = [one for one in depths.measure(aws_settings) if one.name.endswith("-audio")]
    assert (row.dead, row.visible) == (1, 0)
    dead = queue_url(aws_settings, aws_settings.dead_letter_queue("audio"))
    assert aws.client(aws_settings, "sqs").receive_message(QueueUrl=dead)["Messages"]


def test_a_letter_whose_job_cannot_be_read_is_listed_and_the_job_counted(store, aws_settings):
    job_id = failed(store, aws_settings, "a", "service_unavailable")
    aws.client(aws_settings, "dynamodb").update_item(
        TableName=aws_settings.table,
        Key={"pk": {"S": job_id}},
        UpdateExpression="SET verdict = :text",
        ExpressionAttributeValues={":text": {"S": "{}"}},
    )
    before = UNREADABLE.labels("job")._value.get()

    (letter,) = letters.read(aws_settings, "audio")

    assert (letter.job_id, letter.code) == (job_id, "task_failed")
    assert UNREADABLE.labels("job")._value.get() == before + 1


def test_a_letter_that_no_parser_can_read_hides_no_other(aws_settings, sending):
    sqs = aws.client(aws_settings, "sqs")
    url = queue_url(aws_settings, aws_settings.dead_letter_queue("uploads"))
    bodies = {"[" * 100_000, "hello"}
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)

    assert {row.body for row in letters.read(aws_settings, "uploads")} == bodies


def test_letters_that_can_be_put_back_no_more_are_listed_all_the_same(
    aws_settings, sending, monkeypatch
):
    """Their time out of sight ended while others were read, or somebody else discarded them."""
    queues.send_analysis(aws_settings, "audio", "0" * 32)
    bury(aws_settings, "audio")
    find_cause = letters._with_cause

    def slowly(settings, letter):
        url = queue_url(settings, settings.dead_letter_queue("audio"))
        aws.client(settings, "sqs").purge_queue(QueueUrl=url)
        return find_cause(settings, letter)

    monkeypatch.setattr(letters, "_with_cause", slowly)

    assert [row.code for row in letters.read(aws_settings, "audio")] == ["job_gone"]


def test_a_verdict_that_failed_tells_why(store, aws_settings):
    job_id = failed(store, aws_settings, "a", "service_unavailable")
    queues.send_decision(aws_settings, job_id)
    bury(aws_settings, "aggregate")

    (letter,) = letters.read(aws_settings, "aggregate")

    assert (letter.job_id, letter.code) == (job_id, "no_verdict")


def test_one_cause_goes_back_and_its_job_with_it_and_another_is_discarded(store, aws_settings):
    back = failed(store, aws_settings, "a", "service_unavailable")
    stays = failed(store, aws_settings, "b", "decoder_timeout")

    (sent,) = letters.redrive(aws_settings, "audio", code="service_unavailable")

    assert sent.job_id == back
    assert (store.get(back).status, store.get(back).audio) == (JobStatus.QUEUED, None)
    assert store.get(stays).status is JobStatus.FAILED
    assert depths.backlog(aws_settings, "audio") == 1
    assert letters.discard(aws_settings, "audio", code="service_unavailable") == []
    (gone,) = letters.discard(aws_settings, "audio", code="decoder_timeout")
    assert gone.job_id == stays
    assert letters.read(aws_settings, "audio") == []


def test_an_old_letter_takes_back_no_verdict_that_stands(store, aws_settings):
    job_id = failed(store, aws_settings, "a", "service_unavailable")
    store.reopen(store.get(job_id), ("audio", "video"), NOW)
    for modality in ("audio", "video"):
        half = PartialResult(modality=modality, outcome=Outcome.NOT_APPLICABLE, reason="no_face")
        store.save_partial(job_id, half, NOW)
    model = fusion.load(Registry())
    service.conclude(aws_settings, store, job_id, model, NOW)
    before = store.get(job_id)

    assert len(letters.redrive(aws_settings, "audio")) == 1

    assert before.verdict is not None
    assert store.get(job_id) == before


def test_a_letter_makes_room_for_its_own_half_alone(store, aws_settings):
    job_id = failed(store, aws_settings, "a", "service_unavailable")
    half = PartialResult(modality="video", outcome=Outcome.FAILED, reason="decoder_timeout")
    store.save_partial(job_id, half, NOW)

    letters.redrive(aws_settings, "audio")

    job = store.get(job_id)
    assert (job.status, job.audio) == (JobStatus.QUEUED, None)
    assert job.video is not None
    assert job.video.reason == "decoder_timeout"


@pytest.fixture
def short_lists(monkeypatch):
    monkeypatch.setattr(letters, "MAX_LETTERS", 20)


def dead(settings, count):
    """Bury so many messages that are no notifications; their ids."""
    sqs = aws.client(settings, "sqs")
    url = queue_url(settings, settings.dead_letter_queue("uploads"))
    bodies = (f"letter {number}" for number in range(count))
    return [sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"] for body in bodies]


@pytest.mark.parametrize("move", [letters.redrive, letters.discard])
def test_all_letters_are_moved_however_many_there_are(aws_settings, short_lists, move):
    ids = dead(aws_settings, letters.MAX_LETTERS + 15)

    listed = letters.read(aws_settings, "uploads")
    assert (len(listed), letters.cut(listed)) == (letters.MAX_LETTERS, True)
    assert {letter.message_id for letter in move(aws_settings, "uploads")} == set(ids)

    assert letters.read(aws_settings, "uploads") == []


def test_a_letter_further_down_is_found_and_the_others_are_put_back(aws_settings, short_lists):
    ids = dead(aws_settings, letters.MAX_LETTERS + 15)

    (found,) = letters.discard(aws_settings, "uploads", message_id=ids[-1])

    assert found.message_id == ids[-1]
    assert letters.discard(aws_settings, "uploads", code="none") == []
    assert len(letters.redrive(aws_settings, "uploads")) == len(ids) - 1


def test_a_letter_that_dies_anew_at_once_goes_back_once(aws_settings, monkeypatch):
    dead(aws_settings, 3)
    sqs = aws.client(aws_settings, "sqs")
    send = sqs.send_message
    again = queue_url(aws_settings, aws_settings.dead_letter_queue("uploads"))
    monkeypatch.setattr(sqs, "send_message", lambda **told: send(**told | {"QueueUrl": again}))

    assert len(letters.redrive(aws_settings, "uploads")) == 3
    assert len(letters.read(aws_settings, "uploads")) == 3
