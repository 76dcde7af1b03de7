"""Every metric that is declared is emitted in a local run, by the event that it is about."""

import io
import sys
import wave
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shared import aws, halves, items, objects
from shared.errors import ServiceUnavailable
from shared.jobs import JobStore
from shared.models import Registry
from shared.outbox import Outbox
from shared.queues import queue_url
from shared.settings import Settings
from shared.visibility import Receipt
from workers import analyzer_api, local, probe, submit
from workers.samples import SAMPLES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]
GUARDIAN = Path(sys.executable).with_name("guardian")
HOST = "127.0.0.1"
_WAIT_S = 300


@pytest.fixture(scope="module")
def system(tmp_path_factory, write_set):
    directory = tmp_path_factory.mktemp("metrics")
    second = directory / "second-set"
    second.mkdir()
    settings = Settings(
        shadow_models_dir=write_set(second, 9.0),
        state_dir=directory / "state",
        work_dir=directory / "work",
        visibility_timeout_s=3,
        sweep_interval_s=1,
        webhook_url=f"http://{HOST}:{local.free_port()}/",  # nobody answers there
        webhook_secret="secret",
    )
    with local.running(settings) as running:
        yield running


@pytest.fixture(scope="module")
def console(system, start_console):
    with start_console(system.settings) as url:
        yield url


def emitted(text):
    """Names of the metrics that a text tells of; of a counter, more than the 0 of its start."""
    return {
        family.name
        for family in text_string_to_metric_families(text)
        if any(sample.value or family.type == "gauge" for sample in family.samples)
        and family.name.startswith("guardian_")
    }


def of_processes(system):
    """Text of the metrics of each worker, by its name."""
    return {
        process.name: httpx.get(f"http://{HOST}:{process.health_port}/metrics", timeout=30).text
        for process in system.processes
        if process.health_port
    }


def silence():
    """Two seconds without a sound, as WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(64_000))
    return file.getvalue()


def put(settings, name, content):
    key = f"uploads/{name}"
    answer = aws.client(settings, "s3").put_object(
        Bucket=settings.uploads_bucket, Key=key, Body=content
    )
    return objects.as_upload(settings.uploads_bucket, key, answer, len(content))


def test_known_clips_through_the_real_queues_are_judged_hidden_and_removed(system):
    settings = system.settings
    before = len(JobStore(settings).newest(100))
    answers = list(probe.probe(settings, _WAIT_S))

    assert [(one.clip, one.outcome) for one in answers] == [
        ("bona_fide", "right"),
        ("manipulated", "right"),
    ]
    assert len(JobStore(settings).newest(100)) == before
    for bucket in (settings.uploads_bucket, settings.reports_bucket):
        left = aws.client(settings, "s3").list_objects_v2(Bucket=bucket)
        assert [
            row["Key"] for row in left.get("Contents", []) if "receipts" not in row["Key"]
        ] == []
    texts = of_processes(system)
    assert 'guardian_verdicts_total{label="likely_manipulated"} 0.0' in texts["aggregator"]
    assert 'guardian_events_total{outcome="accepted"} 0.0' in texts["intake"]
    assert 'guardian_events_total{outcome="probe"} 2.0' in texts["intake"]


def test_every_declared_metric_is_emitted(system, console, serve, wait_for):
    settings = system.settings
    scored = submit.put(settings, SAMPLES[0], lambda _: None)
    unheard = put(settings, "silence.wav", silence())
    put(settings, "letter.mp4", b"Dear grandmother " * 99)  # rejected
    sqs = aws.client(settings, "sqs")
    sqs.send_message(  # a dead letter
        QueueUrl=queue_url(settings, settings.queue("uploads")), MessageBody="no notification"
    )

    def of_console():
        return httpx.get(f"{console}/metrics", timeout=60).text

    items.put(settings, "worker", "of-another-release", {"name": "w"}, datetime.now(UTC), 60)
    headers = {"X-Guardian-Console": "1"}
    for action in ("pause", "resume"):
        httpx.post(f"{console}/api/queues/video/{action}", headers=headers, timeout=60)
    for upload in (scored, unheard):
        *_, job = submit.follow(settings, upload.job_id, _WAIT_S)
        assert job.status == "complete"
    check_shadow(JobStore(settings).get(scored.job_id))
    outbox = Outbox(settings)
    wait_for(lambda: (job := outbox.get(scored.job_id)).telling and job.telling.attempts, _WAIT_S)
    fail_once(settings, scored)
    with serve(analyzer_api.create(settings, "audio")) as analyzer:
        wait_for(lambda: analyzer.get("/ready").status_code == 200, _WAIT_S)
        analyzer.post("/analyze", json={"s3_bucket": scored.bucket, "s3_key": scored.key})
        serving = analyzer.get("/metrics").text
    wait_for(lambda: 'unreadable_total{kind="worker"}' in of_console(), _WAIT_S)
    sqs.delete_queue(QueueUrl=queue_url(settings, settings.queue("aggregate")))
    wait_for(
        lambda: "guardian_receive_errors" in emitted(of_processes(system)["aggregator"]), _WAIT_S
    )
    texts = [*of_processes(system).values(), of_console()]
    found = set().union(*map(emitted, [*texts, serving, generate_latest(REGISTRY).decode()]))
    declared = {one.name for one in REGISTRY.collect() if one.name.startswith("guardian_")}
    assert declared - found <= {"guardian_sweeper_repairs"}, "nothing need get stuck"


def check_shadow(job):
    """The second set's voice detector has scored too, and decided nothing."""
    assert job.audio.shadow.models[0].version == "9.9.9"
    assert job.audio.models[0].version == Registry().entry("voice-detector").version
    assert job.audio.llr < 0 < job.audio.shadow.llr
    assert job.video.shadow is None
    assert (job.verdict.label, job.verdict.shadow.flip) == ("likely_authentic", True)


def fail_once(settings, upload):
    """Let a half meet a passing fault, in this process."""

    def fault(*_):
        raise ServiceUnavailable("S3 has a bad moment.")

    store = JobStore(settings)
    store.reopen(store.get(upload.job_id), ("audio",), datetime.now(UTC))
    receipt = Receipt(queue_url(settings, settings.queue("audio")), "no handle", 1)
    with pytest.raises(ServiceUnavailable):
        halves.run_half(settings, "audio", upload.job_id, fault, receipt)


def test_labels_are_bounded(system, console):
    """No label value is an id, a key or a time: each metric has few series."""
    for text in (*of_processes(system).values(), httpx.get(f"{console}/metrics", timeout=60).text):
        for family in text_string_to_metric_families(text):
            labels = {
                tuple(sorted((k, v) for k, v in sample.labels.items() if k not in ("le", "pid")))
                for sample in family.samples
            }
            assert len(labels) <= 60, family.name
