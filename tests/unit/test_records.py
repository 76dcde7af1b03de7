"""Records: identity of uploads, strictness, and round trips without loss."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.records import Job, JobStatus, Outcome, PartialResult, Upload

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def test_the_same_version_is_the_same_job_however_the_event_was_wrapped():
    first = Upload(bucket="b", key="uploads/a.mp4", version_id="v1", etag='"x"', sequencer="01")
    again = Upload(bucket="b", key="uploads/a.mp4", version_id="v1", etag="", size_bytes=5)

    assert first.job_id == again.job_id
    assert len(first.job_id) == 32


def test_without_versions_the_etag_tells_uploads_apart():
    first = Upload(bucket="b", key="uploads/a.mp4", etag='"one"')

    assert first.job_id == Upload(bucket="b", key="uploads/a.mp4", etag="one").job_id
    assert first.job_id != Upload(bucket="b", key="uploads/a.mp4", etag="two").job_id


@given(st.text(max_size=30), st.text(max_size=30))
def test_bucket_and_key_cannot_be_mixed_up(one, two):
    joined = Upload(bucket=one, key=two, etag="e").job_id
    moved = Upload(bucket=one + "x", key=two, etag="e").job_id

    assert joined != moved


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_float_is_rounded_on_its_way_through_json(value):
    half = PartialResult(modality="audio", outcome=Outcome.SCORED, llr=value)

    assert PartialResult.model_validate_json(half.model_dump_json()).llr == value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_is_a_number(value):
    with pytest.raises(ValidationError):
        PartialResult(modality="audio", outcome=Outcome.SCORED, llr=value)


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError):
        Upload(bucket="b", key="k", owner="somebody")


def test_a_job_knows_its_upload():
    job = Job(
        job_id="j",
        status=JobStatus.QUEUED,
        bucket="b",
        key="uploads/k",
        version_id="v",
        created_at=NOW,
        updated_at=NOW,
    )

    assert job.upload == Upload(bucket="b", key="uploads/k", version_id="v")
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_final_states():
    assert {status for status in JobStatus if status.final} == {"complete", "rejected", "failed"}
