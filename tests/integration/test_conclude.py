"""The verdict and its report: in one write, whatever fails or happens in between."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared import aws, erasure, objects, queues, repeat
from shared.errors import NotMedia, ServiceUnavailable, SetupError, UnknownJob
from shared.jobs import JobStore
from shared.models import Registry
from shared.outbox import Outbox
from shared.records import JobStatus, Outcome, PartialResult, Upload
from shared.telemetry import DEAD_LETTERS
from shared.visibility import Receipt
from workers.aggregator import fusion, report, service
from workers.cli import main
from workers.commands import jobs as commands
from workers.console import app

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture(scope="module")
def model():
    return fusion.load(Registry())


@pytest.fixture
def store(aws_settings):
    return JobStore(aws_settings)


@pytest.fixture
def job_id(store, aws_settings):
    """A job with both halves."""
    upload = Upload(bucket=aws_settings.uploads_bucket, key="uploads/a", etag="e", size_bytes=1)
    job_id = store.create(upload, NOW).job.job_id
    for modality in ("audio", "video"):
        store.save_partial(job_id, half(modality), NOW)
    return job_id


def half(modality):
    return PartialResult(modality=modality, outcome=Outcome.NOT_APPLICABLE, reason="no_speech")


def stored(settings, job_id):
    body = objects.get_report(settings, service.report_key(job_id))
    return report.Report.model_validate_json(body)


def open_jobs(store):
    return [job.job_id for job in store.overdue(LATER + timedelta(days=1))]


def test_verdict_and_end_of_the_work_are_one_write_after_the_report(
    store, aws_settings, model, job_id
):
    calls = []
    client = aws.client(aws_settings, "dynamodb")
    client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    job = service.conclude(aws_settings, JobStore(aws_settings), job_id, model, NOW)

    assert calls == ["GetItem", "UpdateItem"]
    assert open_jobs(store) == []
    assert stored(aws_settings, job_id).verdict == job.verdict == store.get(job_id).verdict


def test_the_signed_report_is_handed_out_as_it_was_stored(
    store, aws_settings, model, job_id, monkeypatch, tmp_path
):
    key, saved = tmp_path / "key.pem", tmp_path / "report.json"
    key.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )
    signing = aws_settings.model_copy(update={"signing_key_file": key})
    monkeypatch.setattr(commands, "installation", lambda: signing)
    show = ["jobs", "show", job_id, "--report", str(saved)]

    early = CliRunner().invoke(main, show)
    assert (early.exit_code, "not_decided" in early.stderr, saved.exists()) == (1, True, False)
    service.conclude(signing, store, job_id, model, NOW)

    assert CliRunner().invoke(main, show).exit_code == 0
    assert saved.read_bytes() == objects.get_report(signing, service.report_key(job_id))
    assert CliRunner().invoke(main, ["verify", str(saved)]).exit_code == 0


async def test_over_http_a_report_is_that_of_the_verdict_that_stands(
    store, aws_settings, model, job_id, sending
):
    console = httpx.ASGITransport(app.create(aws_settings, lambda *_: ""))
    async with httpx.AsyncClient(transport=console, base_url="http://127.0.0.1") as client:

        async def asked(path, of=job_id):
            answer = await client.get(f"/api/jobs/{of}/{path}")
            return answer.status_code, answer.json().get("code")

        for path in ("report/report.json", "spectrogram"):
            assert await asked(path, "0" * 32) == (404, "unknown_job")
            assert await asked(path) == (422, "not_decided")
        service.conclude(aws_settings, store, job_id, model, NOW)
        assert await asked("report/report.json") == (200, None)
        repeat.retry(aws_settings, job_id)
        assert await asked("report/report.json") == (422, "not_decided")

        refused = Upload(bucket=aws_settings.uploads_bucket, key="uploads/b", etag="e")
        store.reject(refused, NotMedia(), NOW)
        assert await asked("spectrogram", refused.job_id) == (422, "not_decided")


def test_where_the_installation_is_at_fault_the_message_rests(
    store, aws_settings, model, job_id, monkeypatch
):
    def refuse(*_):
        raise SetupError("the right s3:PutObject is missing")

    given_back = []
    monkeypatch.setattr(objects, "put_report", refuse)
    monkeypatch.setattr(service, "give_back", lambda *given: given_back.append(given[2]))
    receipt = Receipt("http://127.0.0.1/1/aggregate", "handle", 1)
    with pytest.raises(SetupError):
        service.conclude(aws_settings, store, job_id, model, NOW, receipt=receipt)

    assert given_back == [900]


def test_a_verdict_does_not_wait_for_its_report(store, aws_settings, model, job_id, monkeypatch):
    def fail(*_):
        raise ServiceUnavailable("no S3 today")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "put_report", fail)
        with pytest.raises(ServiceUnavailable):
            service.conclude(aws_settings, store, job_id, model, NOW)

    decided = store.get(job_id)
    assert decided.status is JobStatus.COMPLETE
    assert open_jobs(store) == [job_id], "the report is still to be written"
    service.conclude(aws_settings, store, job_id, model, LATER)
    assert stored(aws_settings, job_id).verdict == decided.verdict
    assert open_jobs(store) == []


def test_of_two_at_once_the_report_says_the_verdict_that_stands(
    store, aws_settings, model, job_id, monkeypatch
):
    """The other one decides between our report and our verdict, and we wrote the later report."""
    put, first = objects.put_report, []

    def overtake(*arguments):
        if not first:
            first.append(None)
            service.conclude(aws_settings, store, job_id, model, LATER)
        return put(*arguments)

    monkeypatch.setattr(objects, "put_report", overtake)
    service.conclude(aws_settings, store, job_id, model, NOW)

    assert store.get(job_id).verdict.decided_at == LATER
    assert stored(aws_settings, job_id).verdict.decided_at == LATER


def test_what_an_erasure_overtook_leaves_no_report(store, aws_settings, model, job_id, monkeypatch):
    put = objects.put_report

    def erase_first(settings, key, *arguments):
        if key.startswith("reports/"):
            erasure.erase(settings, job_id, "cli:someone", NOW)
        return put(settings, key, *arguments)

    monkeypatch.setattr(objects, "put_report", erase_first)
    with pytest.raises(UnknownJob):
        service.conclude(aws_settings, store, job_id, model, NOW)

    answer = aws.client(aws_settings, "s3").list_objects_v2(Bucket=aws_settings.reports_bucket)
    assert [row["Key"] for row in answer.get("Contents", [])] == [f"receipts/{job_id}.json"]


def test_the_last_message_of_an_erased_job_is_no_dead_letter(store, aws_settings, model, job_id):
    erasure.erase(aws_settings, job_id, "cli:someone", NOW)
    last = Receipt("https://sqs/queue", "handle", attempt=aws_settings.max_receive_count)
    count = DEAD_LETTERS.labels("aggregate", UnknownJob.code)._value.get

    before = count()
    with pytest.raises(UnknownJob):
        service.conclude(aws_settings, store, job_id, model, NOW, receipt=last)

    assert count() == before


def test_a_late_message_decides_nothing_while_the_job_is_analysed_again(
    store, aws_settings, model, job_id, monkeypatch
):
    monkeypatch.setattr(queues, "send_analysis", lambda *_: None)
    service.conclude(aws_settings, store, job_id, model, NOW)
    repeat.retry(aws_settings, job_id)

    job = service.conclude(aws_settings, store, job_id, model, LATER)

    assert (job.status, job.verdict) == (JobStatus.QUEUED, None)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert [job.job_id for job in store.overdue(tomorrow)] == [job_id]


def test_a_late_writer_of_an_old_verdict_leaves_the_newer_one_to_be_told_and_reported(
    store, aws_settings, model, monkeypatch
):
    settings = aws_settings.model_copy(update={"event_bus": "bus"})
    upload = Upload(bucket=settings.uploads_bucket, key="uploads/b.mp4", etag="e")
    job_id = store.create(upload, NOW).job.job_id
    lost = half("audio").model_copy(update={"outcome": Outcome.FAILED, "reason": "worker_lost"})
    for known in (lost, half("video")):
        store.save_partial(job_id, known, NOW)
    service.conclude(settings, store, job_id, model, NOW)
    put, overtaken = objects.put_report, []

    def slow_put(*arguments):
        if not overtaken:
            overtaken.append(store.reopen(store.get(job_id), (), LATER))
            store.save_partial(job_id, half("audio"), LATER)
            service.conclude(settings, store, job_id, model, LATER)
        return put(*arguments)

    monkeypatch.setattr(objects, "put_report", slow_put)
    service.conclude(settings, store, job_id, model, NOW + timedelta(seconds=5))

    newer = store.get(job_id).verdict
    assert newer.decided_at == LATER
    (due,) = Outbox(settings).due(LATER)
    assert Outbox(settings).claim(due, LATER, 60), "it is told of"
    assert stored(settings, job_id).verdict == newer
