"""The jobs table: conditional writes, the fan-in, and lists from indexes."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from shared import aws, depths, halves
from shared.errors import NotMedia, NoVerdict, ServiceUnavailable, UnknownJob
from shared.jobs import JobStore
from shared.models import Registry
from shared.records import (
    JobStatus,
    Label,
    ModelRef,
    Outcome,
    PartialResult,
    SyncSeries,
    TimelinePoint,
    Upload,
    Verdict,
)
from workers.aggregator import fusion, report, service, sweeper

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
AWKWARD = 0.1 + 0.2


@pytest.fixture
def store(aws_settings):
    return JobStore(aws_settings)


def upload(settings, name: str = "a.mp4", etag: str = "e1") -> Upload:
    return Upload(bucket=settings.uploads_bucket, key=f"uploads/{name}", etag=etag, size_bytes=12)


def half(modality, llr=AWKWARD, outcome=Outcome.SCORED) -> PartialResult:
    return PartialResult(
        modality=modality,
        outcome=outcome,
        llr=llr,
        timeline=(TimelinePoint(start_s=0, end_s=1 / 3, probability=2 / 3),),
        signals={"a": 1e-300, "b": 1e300},
    )


VERDICT = Verdict(
    label=Label.SUSPICIOUS,
    probability=AWKWARD,
    prior=0.5,
    model=ModelRef(name="m", version="1", sha256="0"),
    decided_at=NOW,
)


def test_creating_twice_makes_one_job(store, aws_settings):
    first = store.create(upload(aws_settings), NOW)
    again = store.create(upload(aws_settings), NOW + timedelta(hours=1))

    assert (first.applied, again.applied) == (True, False)
    assert again.job.created_at == NOW
    assert store.get(first.job.job_id) == first.job


def test_a_rejected_upload_is_a_job_with_a_reason(store, aws_settings):
    job = store.reject(upload(aws_settings), NotMedia(), NOW).job

    assert (job.status, job.error.code) == (JobStatus.REJECTED, "not_media")
    assert list(store.overdue(NOW + timedelta(days=1))) == []


def test_an_unknown_job_is_a_typed_error(store):
    with pytest.raises(UnknownJob, match="nothing"):
        store.get("nothing")
    with pytest.raises(UnknownJob, match="empty"):
        store.get("")
    with pytest.raises(UnknownJob):
        store.begin("nothing", "audio", NOW)


def test_floats_come_back_to_the_last_bit(store, aws_settings):
    job_id = store.create(upload(aws_settings), NOW).job.job_id

    seen = store.save_partial(job_id, half("audio"), NOW).job
    store.finish(seen, VERDICT, NOW)

    job = store.get(job_id)
    assert job.audio == half("audio")
    assert job.verdict == VERDICT
    assert store.newest()[0].probability == AWKWARD


def test_a_half_is_stored_once_but_a_score_replaces_a_failure(store, aws_settings):
    job_id = store.create(upload(aws_settings), NOW).job.job_id
    failed = store.save_partial(job_id, half("audio", None, Outcome.FAILED), NOW)
    scored = store.save_partial(job_id, half("audio", 1.5), NOW)
    late = store.save_partial(job_id, half("audio", 9.9), NOW)

    assert [failed.applied, scored.applied, late.applied] == [True, True, False]
    assert late.job.audio.llr == 1.5


def test_a_half_of_a_later_release_is_read_without_its_new_fields(store, aws_settings):
    job_id = store.create(upload(aws_settings), NOW).job.job_id
    later = json.loads(half("audio").model_dump_json())
    later["laughter"] = later["coverage"]["laughter_s"] = 1.5
    store._table.update(
        job_id, "SET audio = :half, updated = :now", {":half": json.dumps(later)}, NOW
    )

    seen = store.save_partial(job_id, half("video"), NOW)

    assert seen.both_halves
    assert seen.job.audio == half("audio")


def test_of_two_halves_at_once_the_pair_is_seen_and_claimed_once(store, aws_settings):
    def deliver(arguments):
        job_id, modality = arguments
        written = store.save_partial(job_id, half(modality), NOW)
        return written.both_halves and store.claim_aggregation(job_id, NOW)

    ids = [store.create(upload(aws_settings, f"{n}.mp4"), NOW).job.job_id for n in range(12)]
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(deliver, [(i, m) for i in ids for m in ("audio", "video")]))

    assert sum(claims) == len(ids)


def test_a_duplicate_half_sees_that_both_are_in(store, aws_settings):
    job_id = store.create(upload(aws_settings), NOW).job.job_id
    store.save_partial(job_id, half("audio"), NOW)
    store.save_partial(job_id, half("video"), NOW)

    again = store.save_partial(job_id, half("video"), NOW)

    assert not again.applied
    assert again.both_halves


def test_a_verdict_is_given_once(store, aws_settings):
    seen = store.create(upload(aws_settings), NOW).job
    job_id = seen.job_id
    other = VERDICT.model_copy(update={"label": Label.LIKELY_AUTHENTIC})

    assert store.finish(seen, VERDICT, NOW).applied
    assert not store.finish(seen, other, NOW).applied

    job = store.get(job_id)
    assert (job.status, job.verdict.label) == (JobStatus.COMPLETE, Label.SUSPICIOUS)
    assert store.begin(job_id, "audio", NOW).applied is False


def test_a_verdict_on_what_has_changed_since_is_not_stored(store, aws_settings):
    job_id = store.create(upload(aws_settings), NOW).job.job_id
    store.save_partial(job_id, half("video"), NOW)
    seen = store.save_partial(job_id, half("audio", None, Outcome.FAILED), NOW).job
    store.save_partial(job_id, half("audio", 1.5), NOW)

    written = store.finish(seen, VERDICT, NOW)

    assert not written.applied
    assert written.job.verdict is None


def test_a_job_whose_halves_are_made_again_meanwhile_is_not_ended(store, aws_settings):
    job_id = store.create(upload(aws_settings), NOW).job.job_id
    for modality in ("audio", "video"):
        store.save_partial(job_id, half(modality), NOW)
    ended = store.fail(job_id, NoVerdict(), NOW)
    assert (ended.applied, ended.job.status) == (True, JobStatus.FAILED)
    store.reopen(ended.job, ("audio",), LATER)

    late = store.fail(job_id, NoVerdict(), LATER)

    assert (late.applied, late.job.status, late.job.error) == (False, JobStatus.QUEUED, None)
    assert store.begin(job_id, "audio", LATER).applied


def test_a_late_half_makes_a_verdict_that_supersedes_the_first(store, aws_settings, sending):
    job_id = store.create(upload(aws_settings), NOW).job.job_id
    store.save_partial(job_id, half("video"), NOW)
    store.save_partial(job_id, half("audio", None, Outcome.FAILED), NOW)
    model = fusion.load(Registry())
    first = service.conclude(aws_settings, store, job_id, model, NOW)
    assert first.verdict.modalities_used == ("video",)

    for _ in range(2):  # the second is a duplicate
        written = store.save_partial(job_id, half("audio", 1.5), LATER)
        halves.pass_on(aws_settings, store, written)

    assert visible(aws_settings, "aggregate") == 1
    second = service.conclude(aws_settings, store, job_id, model, LATER)
    assert set(second.verdict.modalities_used) == {"audio", "video"}
    (earlier,) = second.superseded
    assert (earlier.label, earlier.llr) == (first.verdict.label, first.verdict.llr)
    assert (earlier.decided_at, earlier.models[-1]) == (NOW, first.verdict.model)
    stored = report.render_json(store.get(job_id), Registry())
    assert [row["label"] for row in stored["superseded"]] == [first.verdict.label]


def test_the_newest_jobs_come_first_and_page_on(store, aws_settings):
    for minute in range(7):
        store.create(upload(aws_settings, f"{minute}.mp4"), NOW + timedelta(minutes=minute))

    first = store.newest(limit=3)
    second = store.newest(limit=3, before=first[-1].created_at.isoformat(timespec="microseconds"))

    names = [row.key.rpartition("/")[2] for row in first + second]
    assert names == ["6.mp4", "5.mp4", "4.mp4", "3.mp4", "2.mp4", "1.mp4"]


def test_items_expire(store, aws_settings):
    job = store.create(upload(aws_settings), NOW).job
    row = aws.client(aws_settings, "dynamodb").get_item(
        TableName=aws_settings.table, Key={"pk": {"S": job.job_id}}
    )["Item"]

    expires = datetime.fromtimestamp(int(row["expires"]["N"]), UTC)
    assert expires - NOW == pytest.approx(timedelta(days=90), abs=timedelta(seconds=1))


def test_a_long_half_is_stored_small_and_read_as_it_was(store, aws_settings):
    job = store.create(upload(aws_settings), NOW).job
    series = SyncSeries(rate_hz=25, values=tuple(n % 251 for n in range(6000)))
    long = PartialResult(
        modality="audio", outcome=Outcome.SCORED, llr=0.1 + 0.2, sync=(series,) * 2
    )
    store.save_partial(job.job_id, long, NOW)
    row = aws.client(aws_settings, "dynamodb").get_item(
        TableName=aws_settings.table, Key={"pk": {"S": job.job_id}}
    )["Item"]

    assert len(row["audio"]["B"]) < len(long.model_dump_json()) / 10
    assert store.get(job.job_id).audio == long


def test_a_superseded_verdict_of_many_models_is_read_as_it_was(store, aws_settings):
    job_id = store.create(upload(aws_settings), NOW).job.job_id
    models = tuple(ModelRef(name=f"m{n}", version="1", sha256=f"{n:064}") for n in range(20))
    job = store.save_partial(job_id, half("audio").model_copy(update={"models": models}), NOW).job
    decided = store.finish(job, VERDICT, NOW).job
    store.reopen(decided, (), LATER)

    (earlier,) = store.get(job_id).superseded
    assert earlier == decided.as_superseded()
    assert len(earlier.model_dump_json()) > 1024, "long enough to be deflated"


def test_an_unreachable_table_is_retryable(aws_settings):
    away = aws_settings.model_copy(update={"endpoint_url": "http://127.0.0.1:9"})

    with pytest.raises(ServiceUnavailable):
        JobStore(away).get("x")


# --- the sweeper ----------------------------------------------------------------------------------


def visible(settings, name: str) -> int:
    return next(row.visible for row in depths.measure(settings) if row.name == settings.queue(name))


def test_a_job_that_never_started_is_sent_again(store, aws_settings, sending):
    store.create(upload(aws_settings), NOW)

    assert sweeper.sweep(aws_settings, store, NOW) == {}
    assert sweeper.sweep(aws_settings, store, LATER) == {"never_started": 1}
    assert sweeper.sweep(aws_settings, store, LATER) == {}, "it has a new stretch of patience"

    assert (visible(aws_settings, "audio"), visible(aws_settings, "video")) == (1, 1)


def test_a_job_that_waits_in_its_queue_is_left_alone(store, aws_settings, sending):
    store.create(upload(aws_settings), NOW)
    sweeper.sweep(aws_settings, store, LATER)

    assert sweeper.sweep(aws_settings, store, LATER + timedelta(hours=1)) == {}
    assert visible(aws_settings, "audio") == 1


def test_only_the_missing_half_is_asked_for(store, aws_settings, sending):
    job_id = store.create(upload(aws_settings), NOW).job.job_id
    store.save_partial(job_id, half("video"), NOW)

    assert sweeper.sweep(aws_settings, store, LATER) == {"half_missing": 1}
    assert (visible(aws_settings, "audio"), visible(aws_settings, "video")) == (1, 0)


def test_both_halves_without_verdict_are_decided(store, aws_settings, sending):
    job_id = store.create(upload(aws_settings), NOW).job.job_id
    store.save_partial(job_id, half("audio"), NOW)
    store.save_partial(job_id, half("video"), NOW)
    store.claim_aggregation(job_id, NOW)  # and the sender died before it sent

    assert sweeper.sweep(aws_settings, store, LATER) == {"no_verdict": 1}
    assert visible(aws_settings, "aggregate") == 1


def test_after_enough_requests_the_half_is_failed_and_the_verdict_made(
    store, aws_settings, sending
):
    patient = aws_settings.model_copy(update={"max_receive_count": 1})
    job_id = store.create(upload(patient), NOW).job.job_id
    store.save_partial(job_id, half("audio"), NOW)
    assert sweeper.sweep(patient, store, LATER) == {"half_missing": 1}
    url = aws.client(patient, "sqs").get_queue_url(QueueName=patient.queue("video"))["QueueUrl"]
    aws.client(patient, "sqs").purge_queue(QueueUrl=url)

    assert sweeper.sweep(patient, store, LATER + timedelta(hours=1)) == {"given_up": 1}

    job = store.get(job_id)
    assert (job.video.outcome, job.video.reason) == (Outcome.FAILED, "no_result")
    assert visible(patient, "aggregate") == 1
