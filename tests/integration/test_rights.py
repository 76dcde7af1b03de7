"""What each process asks of AWS in a run of the fleet: the calls that its role is compared with."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared import aws
from shared.jobs import JobStore
from shared.records import MODALITIES, Outcome, PartialResult, Upload
from shared.settings import Settings
from workers import local, submit
from workers.samples import SAMPLES

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "data" / "programs"))
from recording_proxy import RecordingProxy  # noqa: E402  # a test program, not a package

pytestmark = pytest.mark.integration
RECORDED = ROOT / "tests" / "deploy" / "recorded_calls.txt"
WORKERS = ("intake", "audio", "video", "aggregator")


def start(worker, endpoint, directory):
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": worker,
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_ENDPOINT_URL": endpoint,
        "GUARDIAN_METRICS_PORT": "0",
        "GUARDIAN_RECEIVE_WAIT_S": "1",
        "GUARDIAN_SWEEP_INTERVAL_S": "1",
        "GUARDIAN_STUCK_AFTER_S": "3",
        "GUARDIAN_BUCKET_SWEEP_INTERVAL_S": "1",
        "GUARDIAN_WORK_DIR": str(directory / worker),
    }
    with (directory / f"{worker}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "worker", worker],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def leave_work_for_the_sweeper(settings):
    """A lost event, a job that never started, and one without a verdict; returns their ids."""
    s3 = aws.client(settings, "s3")
    s3.put_bucket_notification_configuration(
        Bucket=settings.uploads_bucket, NotificationConfiguration={}
    )
    uploads = []
    for name in ("lost", "stuck", "undecided"):
        key = f"uploads/{name}.mp4"
        answer = s3.put_object(Bucket=settings.uploads_bucket, Key=key, Body=name.encode())
        etag = answer["ETag"].strip('"')
        uploads.append(Upload(bucket=settings.uploads_bucket, key=key, etag=etag))
    store, then = JobStore(settings), datetime.now(UTC) - timedelta(hours=1)
    for upload in uploads[1:]:
        store.create(upload, then)
    for modality in MODALITIES:
        half = PartialResult(modality=modality, outcome=Outcome.NOT_APPLICABLE, reason="no_speech")
        store.save_partial(uploads[2].job_id, half, then)
    return [upload.job_id for upload in uploads]


def test_the_recorded_calls_are_those_of_a_run(tmp_path):
    """Run with RECORD_CALLS=1 to add new calls to the record; what no longer happens fails."""
    with local.running(
        Settings(state_dir=tmp_path, work_dir=tmp_path / "work"), roles=()
    ) as system:
        proxy = RecordingProxy(system.endpoint_url)
        processes = [start(worker, proxy.url, tmp_path) for worker in WORKERS]
        try:
            upload = submit.put(system.settings, SAMPLES[0], lambda _: None)
            *_, job = submit.follow(system.settings, upload.job_id, 200)
            mended = {}
            for job_id in leave_work_for_the_sweeper(system.settings):
                *_, mended[job_id] = submit.follow(system.settings, job_id, 100)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)
            proxy.shutdown()
            proxy.server_close()
    assert job.status == "complete"
    assert [one.status for one in mended.values()] == ["rejected", "complete", "complete"]
    made = {" ".join(call) for call in proxy.calls}
    # Whichever half is the second asks for the verdict: chance decides, both are recorded.
    swapped = {
        line.replace(one, two, 1)
        for one, two in (("audio ", "video "), ("video ", "audio "))
        for line in made
        if line.startswith(one) and line.endswith(" silver-guardian-aggregate")
    }
    if os.environ.get("RECORD_CALLS"):
        RECORDED.write_text("\n".join(sorted(made | swapped)) + "\n")

    assert made | swapped == set(RECORDED.read_text().splitlines())
