"""The whole system on this machine: real S3, SQS and DynamoDB calls over HTTP, real processes."""

import hashlib
import html
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path

import boto3
import pytest
from boto3.s3.transfer import TransferConfig

from shared import aws, depths, objects
from shared.jobs import JobStore
from shared.queues import queue_url
from shared.records import JobStatus, Upload
from shared.settings import Settings
from workers import local, submit
from workers.samples import SAMPLES

pytestmark = pytest.mark.integration
GUARDIAN = Path(sys.executable).with_name("guardian")
_WAIT_S = 120
MB = 1024 * 1024


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """One running local system for all tests of this file."""
    state = tmp_path_factory.mktemp("state")
    work = tmp_path_factory.mktemp("work")
    settings = Settings(state_dir=state, work_dir=work / "private", max_upload_bytes=40 * MB)
    with local.running(settings) as running:
        yield running


def outcome(system, upload: Upload):
    *_, job = submit.follow(system.settings, upload.job_id, _WAIT_S)
    return job


def put_bytes(system, name: str, content: bytes) -> Upload:
    s3 = aws.client(system.settings, "s3")
    bucket, key = system.settings.uploads_bucket, f"uploads/{uuid.uuid4().hex[:8]}/{name}"
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    return uploaded(system, key)


def uploaded(system, key: str) -> Upload:
    bucket = system.settings.uploads_bucket
    head = aws.client(system.settings, "s3").head_object(Bucket=bucket, Key=key)
    return objects.as_upload(bucket, key, head)


def guardian(system, *arguments, status: int = 0):
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": system.endpoint_url,
        "GUARDIAN_STATE_DIR": str(system.settings.state_dir),
    }
    done = subprocess.run(
        [GUARDIAN, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == status, done.stderr
    return done


def make(path: Path, *arguments: str) -> Path:
    subprocess.run(["ffmpeg", "-y", "-v", "error", *arguments, str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def sample_job(system):
    """The verdict on the first sample, uploaded by the command."""
    done = guardian(system, "submit", str(SAMPLES[0]), "--json")
    return json.loads(done.stdout.splitlines()[-1])


def test_an_upload_becomes_a_verdict_with_a_report(system, sample_job, tmp_path):
    assert sample_job["status"] == "complete"
    assert {"label", "probability", "llr", "prior", "interval", "reasons"} <= set(
        sample_job["verdict"]
    )
    s3 = aws.client(system.settings, "s3")
    key, bucket = f"reports/{sample_job['job_id']}/report.json", system.settings.reports_bucket
    stored = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert s3.list_objects_v2(Bucket=bucket, Prefix=key.rpartition("/")[0])["KeyCount"] == 1

    for language, words in json.loads(stored)["text"].items():
        page = tmp_path / f"{language}.html"
        guardian(
            system,
            *("jobs", "show", sample_job["job_id"], "--html", str(page), "--language", language),
        )
        text = page.read_text()
        assert html.escape(words["headline"], quote=False) in text
        assert hashlib.sha256(stored).hexdigest() in text


def test_one_file_alone_gives_the_numbers_of_the_fleet(system, sample_job):
    alone = guardian(system, "analyze", str(SAMPLES[0]), "--json")

    assert_same(json.loads(alone.stdout.splitlines()[-1]), sample_job)


def test_sound_alone_has_the_same_verdict_and_origin_both_ways(system, tmp_path):
    sound = make(tmp_path / "voice.wav", "-i", str(SAMPLES[0]), "-vn", "-bitexact")
    alone = guardian(system, "analyze", str(sound), "--json")
    fleet = guardian(system, "submit", str(sound), "--json")
    job = json.loads(fleet.stdout.splitlines()[-1])

    assert_same(json.loads(alone.stdout.splitlines()[-1]), job)
    assert job["verdict"]["provenance"] == {"status": "absent"}


def assert_same(alone, job):
    changing = {"timings_ms", "attempt", "evidence", "analysed_at"}
    for half in ("audio", "video"):
        fleet = {name: value for name, value in job[half].items() if name not in changing}
        assert fleet == {name: alone[half][name] for name in fleet}
    assert {**alone["verdict"], "decided_at": ""} == {**job["verdict"], "decided_at": ""}


def test_multipart_by_a_plain_client_is_one_job(system, tmp_path):
    noise = make(
        tmp_path / "large.wav",
        *("-f", "lavfi", "-i", "anoisesrc=amplitude=0.05:sample_rate=48000:duration=160"),
        *("-ac", "2"),
    )
    assert noise.stat().st_size > 29 * MB
    s3 = boto3.client("s3", endpoint_url=system.endpoint_url, region_name=system.settings.region)
    key = f"uploads/{uuid.uuid4().hex[:8]}/large file+ü.wav"
    config = TransferConfig(multipart_threshold=5 * MB, multipart_chunksize=5 * MB)
    s3.upload_file(str(noise), system.settings.uploads_bucket, key, Config=config)

    job = outcome(system, uploaded(system, key))

    assert job.status is JobStatus.COMPLETE
    assert job.audio.outcome == "not_applicable"
    assert job.video.reason == "no_video_track"
    assert job.verdict.label == "not_applicable"


def test_the_aws_command_line_uploads_and_again_is_the_same_job(system, wait_for):
    key = f"uploads/{uuid.uuid4().hex[:8]}/by-hand.mp4"
    target = f"s3://{system.settings.uploads_bucket}/{key}"
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": system.endpoint_url,
        "AWS_DEFAULT_REGION": system.settings.region,
    }
    copy = [GUARDIAN.with_name("aws"), "s3", "cp", str(SAMPLES[1]), target, "--no-progress"]
    subprocess.run(copy, env=environment, check=True, timeout=60)
    upload = uploaded(system, key)
    first = outcome(system, upload)
    subprocess.run(copy, env=environment, check=True, timeout=60)
    wait_for(lambda: are_empty(system), _WAIT_S)

    assert uploaded(system, key).job_id == upload.job_id
    assert JobStore(system.settings).get(upload.job_id) == first
    assert first.status is JobStatus.COMPLETE


def test_a_duplicate_event_changes_nothing(system, sample_job, wait_for):
    event = {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": sample_job["bucket"]},
                    "object": {
                        "key": sample_job["key"],
                        "size": sample_job["size_bytes"],
                        "eTag": sample_job["etag"],
                        **(
                            {"versionId": sample_job["version_id"]}
                            if sample_job["version_id"]
                            else {}
                        ),
                    },
                },
            }
        ]
    }
    sqs = aws.client(system.settings, "sqs")
    url = queue_url(system.settings, system.settings.queue("uploads"))
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event))
    wait_for(lambda: are_empty(system), _WAIT_S)

    again = JobStore(system.settings).get(sample_job["job_id"])

    assert again.model_dump(mode="json") == sample_job


def are_empty(system) -> bool:
    """Tell whether no queue holds a message."""
    rows = depths.measure(system.settings)
    return not any(row.visible + row.in_flight + row.delayed for row in rows)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("letter.mp4", b"Dear sir or madam,\n" * 50, "not_media"),
        ("empty.mp4", b"", "empty_object"),
        ("list.mp4", b"#EXTM3U\nfile:///etc/passwd\n", "not_media"),
    ],
)
def test_what_is_no_recording_is_rejected_with_a_reason(system, name, content, reason):
    job = outcome(system, put_bytes(system, name, content))

    assert (job.status, job.error.code) == (JobStatus.REJECTED, reason)


def test_a_key_outside_uploads_is_answered_too(system):
    s3 = aws.client(system.settings, "s3")
    bucket, key = system.settings.uploads_bucket, "elsewhere/call.mp4"
    s3.put_object(Bucket=bucket, Key=key, Body=SAMPLES[0].read_bytes())

    job = outcome(system, uploaded(system, key))

    assert (job.status, job.error.code) == (JobStatus.REJECTED, "key_outside_uploads")


def test_too_large_an_object_is_rejected(system):
    job = outcome(system, put_bytes(system, "large.mp4", bytes(41 * MB)))

    assert (job.status, job.error.code) == (JobStatus.REJECTED, "too_large")


def test_a_video_without_sound_and_sound_without_picture_get_half_an_answer(system, tmp_path):
    silent = make(tmp_path / "silent.mp4", "-i", str(SAMPLES[0]), "-an", "-c", "copy")
    sound = make(tmp_path / "sound.m4a", "-i", str(SAMPLES[0]), "-vn", "-c", "copy")

    muted = outcome(system, submit.put(system.settings, silent, lambda _: None))
    heard = outcome(system, submit.put(system.settings, sound, lambda _: None))

    assert muted.audio.reason == "no_audio_track"
    assert muted.video.outcome == "scored"
    assert "video" in muted.verdict.modalities_used
    assert "audio" not in muted.verdict.modalities_used
    assert heard.video.reason == "no_video_track"
    assert heard.audio.outcome == "scored"
    assert heard.verdict.modalities_used == ("audio",)


def test_a_damaged_video_ends_in_a_typed_answer(system):
    data = SAMPLES[0].read_bytes()
    job = outcome(system, put_bytes(system, "cut.mp4", data[: len(data) // 50]))

    assert job.status is JobStatus.COMPLETE
    assert job.verdict.label in ("failed", "not_applicable")
    assert job.audio.reason


def test_what_cannot_be_parsed_is_kept_as_a_dead_letter(system, wait_for):
    sqs = aws.client(system.settings, "sqs")
    url = queue_url(system.settings, system.settings.queue("uploads"))
    sqs.send_message(QueueUrl=url, MessageBody="hello, this is no event")

    def dead():
        rows = depths.measure(system.settings)
        return next(row.dead for row in rows if row.name.endswith("-uploads"))

    wait_for(dead, _WAIT_S)
    assert dead() == 1


def test_jobs_are_listed_newest_first(system, sample_job):
    listed = json.loads(guardian(system, "jobs", "list", "--json").stdout.splitlines()[-1])["jobs"]

    times = [row["created_at"] for row in listed]
    assert times == sorted(times, reverse=True)
    assert sample_job["job_id"] in {row["job_id"] for row in listed}
    assert sample_job["job_id"] in guardian(system, "jobs", "show", sample_job["job_id"]).stdout


def test_an_unknown_job_is_one_sentence(system):
    done = guardian(system, "jobs", "show", "nothing", status=1)
    assert done.stderr.strip().splitlines()[-1] == "unknown_job: There is no job 'nothing'."

    done = guardian(system, "jobs", "show", "nothing", "--json", status=1)
    assert json.loads(done.stderr)["error"]["code"] == "unknown_job"


def test_the_other_shell_finds_the_system_by_itself(system, sample_job, monkeypatch):
    monkeypatch.setenv("GUARDIAN_STATE_DIR", str(system.settings.state_dir))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    done = subprocess.run(
        [GUARDIAN, "jobs", "show", sample_job["job_id"], "--json"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout)["job_id"] == sample_job["job_id"]


def test_queues_command_agrees_with_sqs(system, wait_for):
    wait_for(lambda: are_empty(system), _WAIT_S)
    rows = json.loads(guardian(system, "queues", "--json").stdout.splitlines()[-1])["queues"]

    assert [row["name"].rpartition("-")[2] for row in rows] == [
        "uploads",
        "audio",
        "video",
        "aggregate",
    ]


def test_every_process_serves_its_metrics(system):
    for process in system.processes:
        if process.health_port is None:
            continue
        url = f"http://127.0.0.1:{process.health_port}"
        with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        assert "guardian_" in text
        with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
            assert json.load(answer) == {"status": "alive"}


def test_nothing_is_left_on_disk(system, wait_for):
    wait_for(lambda: are_empty(system), _WAIT_S)
    time.sleep(1)

    left = [path for path in system.settings.work_dir.rglob("*") if path.is_file()]
    # of the workers, which still run: figures, and that their models are loaded
    known = r"(counter|gauge_[a-z]+|histogram)_\d+\.db|models-of-\d+\.loaded"
    assert [path for path in left if not re.fullmatch(known, path.name)] == []
