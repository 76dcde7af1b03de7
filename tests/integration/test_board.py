"""The figures of the queues are sampled, whatever has become of single jobs."""

from datetime import UTC, datetime

import pytest

from shared import aws
from shared.jobs import Closing, JobStore
from shared.records import Label, Media, ModelRef, Outcome, PartialResult, Track, Upload, Verdict
from workers.console.board import Board

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)
TRACKS = (Track(index=0, kind="audio", codec="aac"),)


def complete(store, name, length_s):
    """A job that is done, with media of a length; its id."""
    upload = Upload(bucket="b", key=f"uploads/{name}", etag="e", size_bytes=1)
    half = PartialResult(modality="audio", outcome=Outcome.NOT_APPLICABLE, reason="no_speech")
    media = Media(container="mp4", duration_s=length_s, tracks=TRACKS)
    job_id = store.create(upload, NOW).job.job_id
    job = store.save_partial(job_id, half, NOW, media=media).job
    model = ModelRef(name="fusion", version="1", sha256="0" * 64)
    verdict = Verdict(label=Label.INCONCLUSIVE, prior=0.5, model=model, decided_at=NOW)
    store.finish(job, verdict, NOW, closing=Closing(removes=("pending", "due")))
    return job_id


def test_jobs_that_are_gone_or_cannot_be_read_hold_up_no_sample(aws_settings, sending):
    store, board = JobStore(aws_settings), Board(aws_settings)
    complete(store, "whole", 12.0)
    gone, spoilt = complete(store, "gone", 50.0), complete(store, "spoilt", 90.0)
    board.tail.look()
    store.erase(gone)
    aws.client(aws_settings, "dynamodb").update_item(
        TableName=aws_settings.table,
        Key={"pk": {"S": spoilt}},
        UpdateExpression="SET media = :text",
        ExpressionAttributeValues={":text": {"S": "{}"}},
    )

    assert board.sample().mean_media_s == 12.0
