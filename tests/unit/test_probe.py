"""Known clips: told apart from users' uploads, judged by their verdict's side, unlike any other."""

import json
import subprocess
from datetime import UTC, datetime

import pytest

from shared.records import Job, JobStatus, Label, ModelRef, Upload, Verdict
from shared.settings import Settings
from workers.console.board import Board
from workers.probe import judge, unlike_any_other
from workers.samples import SAMPLES

pytestmark = pytest.mark.unit
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def job(llr, status=JobStatus.COMPLETE):
    model = ModelRef(name="m", version="1", sha256="0")
    label = Label.INCONCLUSIVE
    verdict = Verdict(label=label, llr=llr, prior=0.5, model=model, decided_at=NOW)
    common = {"job_id": "1", "bucket": "b", "key": "uploads/.probe/a.mp4"}
    return Job(**common, status=status, created_at=NOW, updated_at=NOW, verdict=verdict)


@pytest.mark.parametrize(
    ("clip", "found", "outcome"),
    [
        ("bona_fide", job(-2.0), "right"),
        ("manipulated", job(0.4), "right"),
        ("bona_fide", job(0.4), "wrong"),
        ("manipulated", job(-2.0), "wrong"),
        ("manipulated", job(None), "failed"),
        ("manipulated", job(1.0, JobStatus.RUNNING), "late"),
        ("manipulated", None, "late"),
    ],
)
def test_a_clip_is_judged_by_the_side_of_its_verdict(clip, found, outcome):
    assert judge(clip, found) == outcome


def test_a_clip_is_told_by_its_prefix():
    assert job(1.0).upload.is_probe
    assert not Upload(bucket="b", key="uploads/probe.mp4").is_probe


def test_each_clip_sent_has_content_of_its_own_and_plays_as_before(tmp_path):
    contents = [unlike_any_other(SAMPLES[0].read_bytes()) for _ in range(2)]
    assert contents[0] != contents[1]
    path = tmp_path / "clip.mp4"
    path.write_bytes(contents[0])
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams"]
    answers = [
        json.loads(subprocess.run([*command, name], capture_output=True, check=True).stdout)
        for name in (path, SAMPLES[0])
    ]
    lengths = [answer["format"]["duration"] for answer in answers]
    assert lengths[0] == lengths[1]
    assert [len(answer["streams"]) for answer in answers] == [2, 2]


@pytest.mark.parametrize(
    ("samples", "age_s"),
    [
        ([(0, 0, 5)], 0),
        ([(0, 0, 5), (10, 0, 9)], 10),  # nothing was taken: the first is still there
        ([(0, 0, 5), (10, 5, 4), (20, 6, 4)], 10),  # all of the first five were taken
        ([(0, 0, 5), (10, 3, 0), (20, 3, 2)], 0),  # the queue was empty in between
        ([(0, 7, 0)], 0),
    ],
)
def test_the_age_of_the_oldest_upload_follows_from_what_came_and_went(samples, age_s):
    board = Board(Settings(endpoint_url="http://127.0.0.1:9"))
    board._taken.extend(samples)

    assert board._oldest_upload(samples[-1][0]) == age_s
