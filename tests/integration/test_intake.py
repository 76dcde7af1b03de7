"""Intake against a real moto server: each upload ends as the right job, and nothing is lost."""

import json
from datetime import UTC, datetime

import pytest
from boto3.s3.transfer import TransferConfig

from shared.errors import ServiceUnavailable
from shared.records import JobStatus, Outcome
from shared.telemetry import EVENTS
from workers.intake import admission, outgoing

pytestmark = pytest.mark.integration
MB = 1024 * 1024
#: The first bytes of an MP4 and of a WAV file; intake looks no further.
VIDEO = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(200)
SOUND = b"RIFF\xff\0\0\0WAVEfmt " + bytes(200)


async def test_an_accepted_upload_is_a_job_whose_halves_are_asked_for(house):
    upload = house.put("uploads/call.mp4", VIDEO)

    await house.drain()

    job = house.store.get(upload.job_id)
    assert job.status is JobStatus.QUEUED
    assert (job.size_bytes, job.etag) == (len(VIDEO), upload.etag)
    assert house.sent() == (1, 1)
    assert house.depth().dead == 0


async def test_known_clips_count_apart_as_their_verdicts_do(house):
    def counted(outcome):
        return EVENTS.labels(outcome)._value.get()

    before = {name: counted(name) for name in ("accepted", "probe")}
    house.put("uploads/.probe/bona_fide-1.mp4", VIDEO)
    house.put("uploads/call.mp4", VIDEO)

    await house.drain()

    assert {name: counted(name) - before[name] for name in before} == {"accepted": 1, "probe": 1}
    assert house.sent() == (2, 2)


async def test_what_is_not_accepted_is_a_rejected_job_with_its_reason(house):
    cases = [
        ("uploads/letter.mp4", b"Dear sir or madam,\n" * 20, "not_media"),
        ("uploads/empty.mp4", b"", "empty_object"),
        ("uploads/photo.mp4", b"\x89PNG\r\n\x1a\n" + bytes(60), "not_media"),
        ("uploads/playlist.mp4", b"#EXTM3U\nfile:///etc/passwd\n", "not_media"),
        ("uploads/tiny.mp4", b"\0", "not_media"),
        ("uploads/large.mp4", VIDEO + bytes(MB), "too_large"),
        ("elsewhere/call.mp4", VIDEO, "key_outside_uploads"),
        ("uploads2/call.mp4", VIDEO, "key_outside_uploads"),
    ]
    put = {key: house.put(key, content) for key, content, _ in cases}

    await house.drain(max_upload_bytes=MB)

    for key, content, code in cases:
        job = house.store.get(put[key].job_id)
        assert (job.status, job.error.code) == (JobStatus.REJECTED, code), key
        assert job.size_bytes == len(content), key
    assert house.sent() == (0, 0)


async def test_600_mb_are_too_large_whatever_the_event_says(house):
    where = {"Bucket": house.bucket, "Key": "uploads/sparse.mp4"}
    where["UploadId"] = house.s3.create_multipart_upload(**where)["UploadId"]
    content = VIDEO + bytes(100 * MB - len(VIDEO))
    parts = []
    for number in range(1, 7):
        answer = house.s3.upload_part(**where, PartNumber=number, Body=content)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    answer = house.s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    house.purge()
    house.send(house.record("uploads/sparse.mp4", eTag=answer["ETag"].strip('"'), size=1000))
    try:
        await house.drain()
    finally:
        house.s3.delete_object(Bucket=house.bucket, Key="uploads/sparse.mp4")

    job = house.jobs()["uploads/sparse.mp4"]
    assert (job.status, job.error.code) == (JobStatus.REJECTED, "too_large")
    assert job.size_bytes == 600 * MB
    assert house.sent() == (0, 0)


async def test_a_key_is_read_letter_by_letter(house):
    names = ["my call", "1+1=2 & 50%", "통화 녹음", "%2B%20", "e\u0301\u00e9 😀", "a//b"]
    keys = {f"uploads/{name}.mp4" for name in names}
    for key in keys:
        house.put(key, VIDEO)

    await house.drain()

    assert set(house.jobs()) == keys
    assert {job.status for job in house.jobs().values()} == {JobStatus.QUEUED}


async def test_a_sound_file_wakes_no_video_worker(house):
    upload = house.put("uploads/voicemail.mp4", SOUND)

    await house.drain()

    video = house.store.get(upload.job_id).video
    assert (video.outcome, video.reason) == (Outcome.NOT_APPLICABLE, "no_video_track")
    assert house.sent() == (1, 0)


async def test_the_missing_picture_is_on_record_before_the_sound_is_asked_for(house, monkeypatch):
    """Else a quick audio worker finds no second half, and nobody asks for the verdict."""
    seen = []

    def look(_, modality, job_ids):
        seen.extend((modality, house.store.get(job_id).video is not None) for job_id in job_ids)
        return {}

    monkeypatch.setattr(outgoing.queues, "send_analyses", look)
    house.put("uploads/voicemail.wav", SOUND)
    await house.drain()

    assert seen == [("audio", True)]


async def test_duplicates_are_one_job_and_send_nothing_twice(house):
    upload = house.put("uploads/call.mp4", VIDEO)
    await house.drain()
    for _ in range(5):
        house.send(house.record(upload.key, eTag=upload.etag, size=len(VIDEO)))

    await house.drain()

    assert list(house.jobs()) == [upload.key]
    assert house.sent() == (1, 1)


async def test_a_duplicate_carries_on_where_the_first_died(house):
    """The first delivery created the job and was killed before it sent the tasks."""
    upload = house.put("uploads/call.mp4", VIDEO)
    house.purge()
    event = house.tell(json.dumps({"Records": [house.record(upload.key, eTag=upload.etag)]}))
    assert house.store.create(upload, datetime.now(UTC), event).applied

    await house.drain()

    assert house.sent() == (1, 1)


async def test_an_event_that_comes_again_leaves_out_what_has_begun(house):
    """Its process was killed when the tasks were sent and the event was still in the queue."""
    upload = house.put("uploads/call.mp4", VIDEO)
    house.purge()
    event = house.tell(json.dumps({"Records": [house.record(upload.key, eTag=upload.etag)]}))
    house.store.create(upload, datetime.now(UTC), event)
    house.store.begin(upload.job_id, "audio", datetime.now(UTC))

    await house.drain()

    assert house.sent() == (0, 1)


async def test_a_burst_is_sent_by_the_batch(house, monkeypatch):
    batches, send = [], outgoing.queues.send_analyses

    def counted(settings, modality, job_ids):
        batches.append((modality, len(job_ids)))
        return send(settings, modality, job_ids)

    monkeypatch.setattr(outgoing.queues, "send_analyses", counted)
    for number in range(20):
        house.put(f"uploads/{number}.mp4", VIDEO)

    await house.drain()

    assert house.sent() == (20, 20)
    assert len(batches) < 20, "fewer calls than one by one"


async def test_what_sqs_refuses_of_a_batch_comes_again(house, monkeypatch):
    send, refused = outgoing.queues.send_analyses, []

    def refuse_one(settings, modality, job_ids):
        if refused:
            return send(settings, modality, job_ids)
        refused.append(job_ids[0])
        taken = send(settings, modality, job_ids[1:]) if job_ids[1:] else {}
        return {**taken, job_ids[0]: ServiceUnavailable("throttled")}

    monkeypatch.setattr(outgoing.queues, "send_analyses", refuse_one)
    for number in range(5):
        house.put(f"uploads/{number}.mp4", VIDEO)

    await house.drain()

    waiting = house.sent()
    assert min(waiting) == 5
    assert max(waiting) <= 6, "only the other half of the refused one is sent twice"


async def test_a_multipart_upload_of_two_events_is_one_job(house, tmp_path):
    path = tmp_path / "call.mp4"
    path.write_bytes(VIDEO + bytes(7 * MB))
    config = TransferConfig(multipart_threshold=5 * MB, multipart_chunksize=5 * MB)
    house.s3.upload_file(str(path), house.bucket, "uploads/call.mp4", Config=config)
    assert house.depth().visible >= 2

    await house.drain()

    (job,) = house.jobs().values()
    assert (job.status, job.size_bytes) == (JobStatus.QUEUED, path.stat().st_size)


async def test_each_version_is_a_job_judged_by_its_own_bytes(house):
    house.s3.put_bucket_versioning(
        Bucket=house.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    good = house.put("uploads/call.mp4", VIDEO)
    bad = house.put("uploads/call.mp4", b"overwritten by a letter")
    assert good.version_id
    assert good.version_id != bad.version_id
    for upload in (good, bad):  # moto's own events name no version
        house.send(house.record(upload.key, eTag=upload.etag, versionId=upload.version_id))

    await house.drain()

    old, new = house.store.get(good.job_id), house.store.get(bad.job_id)
    assert (old.status, old.size_bytes) == (JobStatus.QUEUED, len(VIDEO))
    assert (new.error.code, new.size_bytes) == ("not_media", 23)


async def test_an_object_gone_or_changed_since_its_event_is_told(house):
    gone = house.put("uploads/gone.mp4", VIDEO)
    house.s3.delete_object(Bucket=house.bucket, Key=gone.key)
    old = house.put("uploads/changed.mp4", VIDEO)
    new = house.put("uploads/changed.mp4", VIDEO + b"more")

    await house.drain()

    assert house.store.get(gone.job_id).error.code == "object_gone"
    assert house.store.get(old.job_id).error.code == "object_changed"
    assert house.store.get(new.job_id).status is JobStatus.QUEUED


async def test_an_event_without_size_and_etag_still_names_one_job(house):
    upload = house.put("uploads/letter.mp4", b"a letter")
    house.purge()
    house.send(house.record(upload.key))

    await house.drain()

    job = house.store.get(upload.job_id)
    assert (job.error.code, job.size_bytes) == ("not_media", 8)


async def test_what_cannot_be_read_is_a_dead_letter_with_its_cause(house):
    house.send(text="hello, this is no event")
    house.send(text='{"Records": [{"eventSource": "aws:s3", "eventVersion": "9.0"}]}')

    await house.drain()

    assert set(house.dead_letters().values()) == {"unparsable_event"}
    assert house.depth().dead == 2


async def test_a_record_of_another_bucket_holds_up_no_neighbour(house):
    upload = house.put("uploads/call.mp4", VIDEO)
    house.purge()
    body = house.send(
        house.record("uploads/a.mp4", bucket="somebody-elses-bucket", eTag="e"),
        house.record(upload.key, eTag=upload.etag),
    )

    await house.drain()

    assert list(house.jobs()) == [upload.key]
    assert house.dead_letters() == {body: "wrong_bucket"}


async def test_no_more_are_handled_at_once_than_allowed(house, monkeypatch):
    busy, most, take_in = 0, 0, admission.take_in

    async def counted(*arguments):
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        try:
            await take_in(*arguments)
        finally:
            busy -= 1

    monkeypatch.setattr(admission, "take_in", counted)
    for number in range(15):
        house.put(f"uploads/{number}.mp4", VIDEO)

    await house.drain(intake_concurrency=3)

    assert most == 3
    assert len(house.jobs()) == 15
