"""What jobs turned out to be is kept beside what was said of them, and counted."""

import csv
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from click.testing import CliRunner

from shared import audit, feedback, items
from shared.errors import NotDecided, UnknownJob
from shared.jobs import JobStore
from shared.records import Label, ModelRef, Upload, Verdict
from workers.commands import jobs
from workers.console import actions, app

pytestmark = pytest.mark.integration
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def decided(settings, name, label):
    store = JobStore(settings)
    upload = Upload(bucket=settings.uploads_bucket, key=f"uploads/{name}", etag=name)
    job = store.create(upload, NOW).job
    verdict = Verdict(
        label=label,
        probability=0.5,
        llr=0.25,
        prior=0.5,
        model=ModelRef(name="fusion", version="1", sha256="0" * 64),
        decided_at=NOW,
    )
    return store.finish(job, verdict, NOW).job.job_id


def test_verdicts_are_counted_by_what_they_turned_out_to_be(aws_settings, monkeypatch, tmp_path):
    said = [Label.SUSPICIOUS, Label.LIKELY_MANIPULATED, Label.LIKELY_AUTHENTIC, Label.INCONCLUSIVE]
    ids = [decided(aws_settings, str(number), label) for number, label in enumerate(said)]
    for job_id in ids:
        feedback.give(aws_settings, job_id, "genuine", NOW)
    monkeypatch.setattr(jobs, "installation", lambda: aws_settings)

    def run(command, *arguments):
        done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
        return json.loads(done.stdout.splitlines()[-1])

    given = run(jobs.jobs_feedback, ids[1], "--label", "manipulated", "--note", "a known scam")
    assert (given["truth"], given["label"], given["llr"]) == ("manipulated", said[1], 0.25)
    path = tmp_path / "feedback.csv"
    assert run(jobs.feedback_summary, "--csv", str(path)) == {
        "hits": 1,
        "false_alarms": 1,
        "misses": 0,
        "correct_passes": 1,
        "without_a_statement": 1,
    }
    rows = {row["job_id"]: row for row in csv.DictReader(path.read_text().splitlines())}
    assert rows[ids[1]]["label"] == "manipulated"
    assert len(rows) == len(ids)


def test_feedback_of_another_release_hides_no_other(aws_settings):
    job_id = decided(aws_settings, "a", Label.SUSPICIOUS)
    feedback.give(aws_settings, job_id, "genuine", NOW)
    items.put(aws_settings, feedback.KIND, "of tomorrow", {"truth": "staged"}, NOW, 9e9)

    assert [row.job_id for row in feedback.every(aws_settings)] == [job_id]


def test_feedback_needs_a_verdict(aws_settings):
    upload = Upload(bucket=aws_settings.uploads_bucket, key="uploads/a", etag="a")
    job_id = JobStore(aws_settings).create(upload, NOW).job.job_id

    with pytest.raises(NotDecided, match="queued"):
        feedback.give(aws_settings, job_id, "genuine", NOW)
    with pytest.raises(UnknownJob):
        feedback.give(aws_settings, "nothing", "genuine", NOW)


def test_long_lists_are_read_whole(aws_settings):
    for number in range(130):
        at = NOW + timedelta(seconds=number)
        items.put(aws_settings, "test", str(number), {"number": number}, at, 9e9)

    found = [body["number"] for body in items.every(aws_settings, "test")]
    assert found == list(range(129, -1, -1))


async def test_the_console_notes_what_a_job_turned_out_to_be(aws_settings):
    job_id = decided(aws_settings, "one", Label.SUSPICIOUS)
    console = httpx.ASGITransport(app.create(aws_settings, lambda *_: ""))
    path = f"/api/jobs/{job_id}/feedback"

    async with httpx.AsyncClient(transport=console, base_url="http://127.0.0.1") as client:
        client.headers[actions.INTENT_HEADER] = "1"
        assert (await client.get(path)).json() is None
        given = await client.post(path, json={"truth": "genuine", "note": "a known speaker"})
        assert (await client.get(path)).json() == given.json()
        assert (await client.post(path, json={"truth": "fake"})).status_code == 422
        unknown = await client.post(f"/api/jobs/{'0' * 32}/feedback", json={"truth": "genuine"})
        assert unknown.json()["code"] == "unknown_job"

    (kept,) = feedback.every(aws_settings)
    assert (kept.truth, kept.label, kept.note) == ("genuine", Label.SUSPICIOUS, "a known speaker")
    acts = [(entry.action, entry.detail, entry.failed) for entry in audit.newest(aws_settings)]
    assert acts == [("feedback", "genuine", "unknown_job"), ("feedback", "genuine", None)]
