"""Erasing a job: nothing of it is left, nothing else is touched, and a receipt says so."""

import json
import os
import subprocess
import sys
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared import aws, erasure, feedback, halves, objects, signing
from shared.errors import Busy, ObjectGone, ServiceUnavailable, UnknownJob
from shared.jobs import JobStore
from shared.records import (
    Analysis,
    ErasureReceipt,
    Evidence,
    EvidenceRef,
    Label,
    ModelRef,
    Outcome,
    PartialResult,
    Upload,
    Verdict,
)
from workers.samples import SAMPLES

pytestmark = pytest.mark.integration
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
GUARDIAN = Path(sys.executable).with_name("guardian")


def uploaded(settings, name, content=b"recording", *, versioned=True):
    """A job whose upload, evidence and reports lie in the buckets."""
    key = f"uploads/{name}"
    answer = aws.client(settings, "s3").put_object(
        Bucket=settings.uploads_bucket, Key=key, Body=content
    )
    upload = Upload(
        bucket=settings.uploads_bucket,
        key=key,
        version_id=answer.get("VersionId") if versioned else None,
        etag=answer["ETag"].strip('"'),
    )
    store = JobStore(settings)
    job = store.create(upload, NOW).job
    half = PartialResult(modality="audio", outcome=Outcome.NOT_APPLICABLE, reason="no_speech")
    store.save_partial(job.job_id, half, NOW, sha256="5" * 64)
    for key in ("evidence/{}/a.jpg", "evidence/{}/b.jpg", "reports/{}/report.json"):
        objects.put_report(settings, key.format(job.job_id), b"about a person", "text/plain")
    return store.get(job.job_id)


def left(settings, job):
    """Everything in both buckets and the table that has to do with a job, but a note of its id."""
    s3 = aws.client(settings, "s3")
    found = []
    for bucket in (settings.uploads_bucket, settings.reports_bucket):
        versions = s3.list_object_versions(Bucket=bucket).get("Versions", [])
        found += [row["Key"] for row in versions if row.get("VersionId") == job.version_id]
        found += [row["Key"] for row in versions if job.job_id in row["Key"]]
    table = aws.client(settings, "dynamodb").scan(TableName=settings.table)["Items"]
    note = {"pk": f"erased:{job.job_id}", "feed": "erased", "body": "{}"}
    for row in table:
        texts = {name: row[name].get("S") for name in note if name in row}
        found += [str(row)] if job.job_id in str(row) and texts != note else []
    return found


def test_nothing_of_the_job_is_left_but_the_receipt(aws_settings):
    job, other = uploaded(aws_settings, "kim minsu.mp4"), uploaded(aws_settings, "b.mp4")
    before = left(aws_settings, other)

    document = erasure.erase(aws_settings, job.job_id, "cli:someone", NOW)

    assert left(aws_settings, job) == [f"receipts/{job.job_id}.json"]
    assert left(aws_settings, other) == before
    receipt = ErasureReceipt.model_validate(document)
    gone = {"upload": 1, "evidence": 2, "reports": 1, "feedback": 0, "job": 1}
    assert receipt.removed == gone
    assert receipt.content_sha256 == "5" * 64
    stored = objects.get_report(aws_settings, f"receipts/{job.job_id}.json")
    assert json.loads(stored) == document
    assert b"minsu" not in stored


def test_whoever_asks_again_gets_the_first_receipt_as_it_was_signed(aws_settings, tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )
    settings = aws_settings.model_copy(update={"signing_key_file": path})
    job = uploaded(settings, "a.mp4")
    document = erasure.erase(settings, job.job_id, "cli:someone", NOW)
    stored = erasure.receipt_of(settings, job.job_id)

    assert "signature" in document
    assert erasure.erase(settings, job.job_id, "cli:another", datetime.now(UTC)) == document
    assert erasure.receipt_of(settings, job.job_id) == stored
    for unknown in ("f0" * 16, ""):
        with pytest.raises(UnknownJob):
            erasure.erase(settings, unknown, "cli:someone", NOW)


def test_what_people_said_of_the_job_goes_with_it(aws_settings):
    jobs = [uploaded(aws_settings, "kim minsu.mp4"), uploaded(aws_settings, "b.mp4")]
    for job in jobs:
        verdict = Verdict(
            label=Label.SUSPICIOUS,
            prior=0.5,
            model=ModelRef(name="fusion", version="1", sha256="0" * 64),
            decided_at=NOW,
        )
        JobStore(aws_settings).finish(job, verdict, NOW)
        feedback.give(aws_settings, job.job_id, "genuine", NOW, "her son, she says")

    document = erasure.erase(aws_settings, jobs[0].job_id, "cli:someone", NOW)

    assert document["removed"]["feedback"] == 1
    assert left(aws_settings, jobs[0]) == [f"receipts/{jobs[0].job_id}.json"]
    assert [row.job_id for row in feedback.every(aws_settings)] == [jobs[1].job_id]


def test_the_receipt_is_signed_where_there_is_a_key(aws_settings, tmp_path):
    private = Ed25519PrivateKey.generate()
    path = tmp_path / "key.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    settings = aws_settings.model_copy(update={"signing_key_file": path})
    job = uploaded(settings, "a.mp4")

    erasure.erase(settings, job.job_id, "cli:someone", NOW)

    stored = objects.get_report(settings, f"receipts/{job.job_id}.json")
    assert signing.verify(stored, private.public_key())
    with pytest.raises(signing.NotVerified):
        signing.verify(stored.replace(b"cli:someone", b"cli:another"), private.public_key())


def test_another_version_under_the_same_key_stays(aws_settings):
    first = uploaded(aws_settings, "same.mp4", b"first")
    second = uploaded(aws_settings, "same.mp4", b"second")

    erasure.erase(aws_settings, first.job_id, "cli:someone", NOW)

    s3 = aws.client(aws_settings, "s3")
    assert s3.get_object(Bucket=second.bucket, Key=second.key)["Body"].read() == b"second"


def test_without_versions_a_newer_object_under_the_key_stays(aws_settings):
    first = uploaded(aws_settings, "same.mp4", b"first", versioned=False)
    uploaded(aws_settings, "same.mp4", b"second", versioned=False)

    document = erasure.erase(aws_settings, first.job_id, "cli:someone", NOW)

    s3 = aws.client(aws_settings, "s3")
    assert s3.get_object(Bucket=first.bucket, Key=first.key)["Body"].read() == b"second"
    assert document["removed"]["upload"] == 0


def with_new_bucket(settings):
    """Settings with a bucket for uploads that has never kept versions, a client, and its name."""
    bucket = f"flat-{uuid.uuid4().hex}"
    s3 = aws.client(settings, "s3")
    where = {"LocationConstraint": settings.region}
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    return settings.model_copy(update={"uploads_bucket": bucket}), s3, bucket


@pytest.mark.parametrize("newer", [False, True])
def test_an_upload_from_before_the_bucket_kept_versions_is_gone_for_good(aws_settings, newer):
    settings, s3, bucket = with_new_bucket(aws_settings)
    job = uploaded(settings, "early.mp4")
    versions = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versions)
    others = [s3.put_object(Bucket=bucket, Key=job.key, Body=b"newer")] if newer else []

    document = erasure.erase(settings, job.job_id, "cli:someone", NOW)

    found = s3.list_object_versions(Bucket=bucket)
    assert document["removed"]["upload"] == 1
    assert [row["VersionId"] for row in found.get("Versions", [])] == [
        other["VersionId"] for other in others
    ]
    assert "DeleteMarkers" not in found


def test_an_upload_in_a_bucket_without_versions_is_erased_once(aws_settings):
    settings, s3, bucket = with_new_bucket(aws_settings)
    jobs = [uploaded(settings, "flat.mp4", content) for content in (b"first", b"second")]

    counts = [
        erasure.erase(settings, job.job_id, "cli:someone", NOW)["removed"]["upload"]
        for job in reversed(jobs)
    ]

    assert counts == [1, 0]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_an_erasure_that_broke_off_is_carried_on(aws_settings, monkeypatch):
    job = uploaded(aws_settings, "a.mp4")

    def broken(*_):
        raise ServiceUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(objects, "put_report", broken)
        with pytest.raises(ServiceUnavailable):
            erasure.erase(aws_settings, job.job_id, "cli:someone", NOW)
    assert JobStore(aws_settings).get(job.job_id) == job
    with pytest.raises(ObjectGone):
        objects.get_report(aws_settings, f"receipts/{job.job_id}.json")

    document = erasure.erase(aws_settings, job.job_id, "cli:someone", NOW)

    assert document["removed"] == {
        "upload": 0,
        "evidence": 0,
        "reports": 0,
        "feedback": 0,
        "job": 1,
    }
    assert left(aws_settings, job) == [f"receipts/{job.job_id}.json"]


def test_the_command_erases_and_writes_the_receipt(aws_settings, tmp_path):
    job = uploaded(aws_settings, "a.mp4")
    receipt = tmp_path / "receipt.json"
    environment = {
        **os.environ,
        "GUARDIAN_ENDPOINT_URL": aws_settings.endpoint_url,
        "GUARDIAN_PREFIX": aws_settings.prefix,
    }

    def command(*arguments, typed=""):
        return subprocess.run(
            [GUARDIAN, "jobs", "erase", job.job_id, *arguments],
            env=environment,
            input=typed,
            capture_output=True,
            text=True,
        )

    assert command(typed="no\n").returncode != 0
    assert JobStore(aws_settings).get(job.job_id) == job
    done = command("--yes", "--json", "--receipt", str(receipt))

    assert done.returncode == 0, done.stderr
    assert json.loads(receipt.read_text()) == json.loads(done.stdout.splitlines()[-1])
    assert left(aws_settings, job)[0] == f"receipts/{job.job_id}.json"


def test_a_job_expires_from_the_table_when_its_time_is_over(aws_settings):
    job = uploaded(aws_settings, "a.mp4")
    dynamodb = aws.client(aws_settings, "dynamodb")

    described = dynamodb.describe_time_to_live(TableName=aws_settings.table)
    attribute = described["TimeToLiveDescription"]
    row = next(
        row
        for row in dynamodb.scan(TableName=aws_settings.table)["Items"]
        if row["pk"]["S"] == job.job_id
    )

    assert attribute["TimeToLiveStatus"] == "ENABLED"
    expires = int(row[attribute["AttributeName"]]["N"])
    assert expires - NOW.timestamp() == aws_settings.retention_days * 86_400


def test_a_worker_that_has_the_job_in_hand_stores_no_picture_of_it(aws_settings):
    job = uploaded(aws_settings, "a.mp4", SAMPLES[0].read_bytes())

    def analyze(path, media):
        erasure.erase(aws_settings, job.job_id, "cli:someone", NOW)
        ref = EvidenceRef(name="face.jpg", kind="face", start_s=0)
        return Analysis(
            PartialResult(modality="video", outcome=Outcome.NOT_APPLICABLE, reason="no_face"),
            (Evidence(ref, b"a face", "image/jpeg"),),
        )

    halves.run_half(aws_settings, "video", job.job_id, analyze)

    assert left(aws_settings, job) == [f"receipts/{job.job_id}.json"]


def test_nor_does_it_leave_the_pictures_that_an_erasure_overtook(aws_settings, monkeypatch):
    job = uploaded(aws_settings, "a.mp4", b"some bytes")
    put, stored = objects.put_report, []

    def slow_put(settings, key, *rest):
        stored.append(key)
        if key.endswith("/1.jpg"):
            erasure.erase(aws_settings, job.job_id, "cli:someone", NOW)
        put(settings, key, *rest)

    def examine(*_):
        refs = [EvidenceRef(name=f"{n}.jpg", kind="face", start_s=0) for n in range(4)]
        half = PartialResult(modality="video", outcome=Outcome.NOT_APPLICABLE, reason="no_face")
        return Analysis(half, tuple(Evidence(ref, b"a face", "image/jpeg") for ref in refs)), None

    monkeypatch.setattr(objects, "put_report", slow_put)
    monkeypatch.setattr(halves, "examine", examine)
    halves.run_half(aws_settings, "video", job.job_id, examine)

    assert len(stored) == 5, "four pictures and the receipt"
    assert left(aws_settings, job) == [f"receipts/{job.job_id}.json"]


def test_nor_does_it_copy_pictures_of_the_same_content(aws_settings, sending, monkeypatch):
    first, second = (uploaded(aws_settings, name, b"the same") for name in ("a.mp4", "b.mp4"))
    fetch = objects.fetch

    def analyze(path, media):
        ref = EvidenceRef(name="face.jpg", kind="face", start_s=0)
        half = PartialResult(modality="video", outcome=Outcome.NOT_APPLICABLE, reason="no_face")
        return Analysis(half, (Evidence(ref, b"a face", "image/jpeg"),))

    @contextmanager
    def erased_meanwhile(*given):
        with fetch(*given) as fetched:
            erasure.erase(aws_settings, second.job_id, "cli:someone", NOW)
            yield fetched

    monkeypatch.setattr(halves, "examine", lambda path, *_: (analyze(path, None), None))
    halves.run_half(aws_settings, "video", first.job_id, analyze)
    monkeypatch.setattr(objects, "fetch", erased_meanwhile)
    halves.run_half(aws_settings, "video", second.job_id, analyze)

    assert left(aws_settings, second) == [f"receipts/{second.job_id}.json"]


def later_verdict(settings, job):
    """What an aggregator does that has the job in hand: the row is there, so nothing warns it."""
    put = aws.client(settings, "s3").put_object
    for key in (f"evidence/{job.job_id}/face.jpg", f"reports/{job.job_id}/report.json"):
        put(Bucket=settings.reports_bucket, Key=key, Body=b"about a person")
    half = PartialResult(modality="video", outcome=Outcome.NOT_APPLICABLE, reason="no_face")
    assert JobStore(settings).save_partial(job.job_id, half, NOW).applied


def test_of_two_erasures_at_once_one_counts_all_that_went(aws_settings, monkeypatch):
    job = uploaded(aws_settings, "a.mp4")
    forget = feedback.forget

    def overtaken(*given):
        with pytest.raises(Busy):
            erasure.erase(aws_settings, job.job_id, "cli:another", NOW)
        return forget(*given)

    monkeypatch.setattr(feedback, "forget", overtaken)
    document = erasure.erase(aws_settings, job.job_id, "cli:someone", NOW)

    stored = objects.get_report(aws_settings, f"receipts/{job.job_id}.json")
    assert json.loads(stored) == document
    assert (document["removed"]["upload"], document["removed"]["evidence"]) == (1, 2)
    assert left(aws_settings, job) == [f"receipts/{job.job_id}.json"]


def test_what_is_stored_just_before_the_row_goes_does_not_outlive_it(aws_settings, monkeypatch):
    job = uploaded(aws_settings, "a.mp4")
    put = objects.put_report

    def overtaken(*given):
        monkeypatch.setattr(objects, "put_report", put)
        later_verdict(aws_settings, job)
        return put(*given)

    monkeypatch.setattr(objects, "put_report", overtaken)
    document = erasure.erase(aws_settings, job.job_id, "cli:someone", NOW)

    assert left(aws_settings, job) == [f"receipts/{job.job_id}.json"]
    stored = objects.get_report(aws_settings, f"receipts/{job.job_id}.json")
    assert json.loads(stored) == document
    counted = {"upload": 1, "evidence": 3, "reports": 2, "feedback": 0, "job": 1}
    assert document["removed"] == counted


def test_an_erasure_that_broke_off_at_its_very_end_is_carried_on(aws_settings, monkeypatch):
    job = uploaded(aws_settings, "a.mp4")
    erase = JobStore.erase

    def broken(store, job_id):
        later_verdict(aws_settings, job)
        erase(store, job_id)
        raise ServiceUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(JobStore, "erase", broken)
        with pytest.raises(ServiceUnavailable):
            erasure.erase(aws_settings, job.job_id, "cli:someone", NOW)
    document = erasure.erase(aws_settings, job.job_id, "cli:someone", NOW)

    assert left(aws_settings, job) == [f"receipts/{job.job_id}.json"]
    counted = {"upload": 1, "evidence": 3, "reports": 2, "feedback": 0, "job": 1}
    assert document["removed"] == counted
    assert json.loads(erasure.receipt_of(aws_settings, job.job_id)) == document


async def test_a_late_event_does_not_bring_the_erased_key_back(house):
    upload = house.put("uploads/kim minsu 1941.mp4", SAMPLES[0].read_bytes())
    await house.drain()
    erasure.erase(house.settings, upload.job_id, "cli:someone", NOW)
    version = {"versionId": upload.version_id} if upload.version_id else {}

    house.send(house.record(upload.key, **version, eTag=upload.etag))
    await house.drain()

    assert house.jobs() == {}
    assert house.depth().visible == house.depth().in_flight == 0
