"""Known clips are judged through faults that pass, and what cannot be read ends no probing."""

from datetime import UTC, datetime

import pytest

from shared import aws
from shared.jobs import Closing, JobStore
from shared.records import Label, ModelRef, Verdict
from workers import probe

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)
VERDICT = Verdict(
    label=Label.LIKELY_AUTHENTIC,
    llr=-2.0,
    prior=0.5,
    model=ModelRef(name="fusion", version="1", sha256="0" * 64),
    decided_at=NOW,
)


@pytest.fixture
def decided(aws_settings, monkeypatch):
    """Decide each clip as soon as it is uploaded; the ids of their jobs."""
    ids, put = [], probe._put

    def put_and_decide(settings, clip, path):
        upload, store = put(settings, clip, path), JobStore(aws_settings)
        job = store.create(upload, NOW).job
        store.finish(job, VERDICT, NOW, closing=Closing(removes=("pending", "due")))
        ids.append(job.job_id)
        return upload

    monkeypatch.setattr(probe, "_put", put_and_decide)
    monkeypatch.setattr(probe, "_POLL_S", 0.01)
    return ids


def outcomes(settings):
    return [answer.outcome for answer in probe.probe(settings, 60)]


def test_a_fault_that_passes_is_waited_for(decided, aws_settings, failing):
    seen = []

    def fails(action):
        if action.endswith("GetItem"):
            seen.append(action)
        return action.endswith("GetItem") and len(seen) == 1

    with failing(fails) as url:
        found = outcomes(aws_settings.model_copy(update={"endpoint_url": url}))

    assert found == ["right", "wrong"]


def test_a_job_that_cannot_be_read_is_a_failure_and_others_follow(
    decided, aws_settings, monkeypatch
):
    put = probe._put

    def put_and_spoil(settings, clip, path):
        upload = put(settings, clip, path)
        if clip == probe.CLIPS[0]:
            aws.client(settings, "dynamodb").update_item(
                TableName=settings.table,
                Key={"pk": {"S": decided[0]}},
                UpdateExpression="SET verdict = :text",
                ExpressionAttributeValues={":text": {"S": "{}"}},
            )
        return upload

    monkeypatch.setattr(probe, "_put", put_and_spoil)

    assert outcomes(aws_settings) == ["failed", "wrong"]
