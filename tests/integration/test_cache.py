"""The same content is analysed once; a cache that fails costs time and never a result."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from shared import aws, cache, cache_redis, erasure, halves, items, objects, repeat
from shared.jobs import JobStore
from shared.models import PACKAGED, Registry
from shared.records import (
    Analysis,
    Evidence,
    EvidenceRef,
    JobStatus,
    Outcome,
    PartialResult,
    Upload,
)
from shared.telemetry import CACHE_LOOKUPS
from workers import local
from workers.aggregator import fusion, page, report, service
from workers.samples import SAMPLES

pytestmark = pytest.mark.integration


@contextmanager
def redis_server(directory, port=0):
    """A real redis-server on loopback; in CI it has to be there."""
    program = shutil.which("redis-server")
    if program is None:
        assert not os.environ.get("CI"), "scripts/ensure-redis gets redis-server"
        pytest.skip("redis-server is not installed")
    port = port or local.free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", "")
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0", server
    finally:
        server.kill()
        server.wait()


@pytest.fixture(params=["table", "redis"])
def settings(request, aws_settings, sending, tmp_path):
    """An installation whose results are kept in its table, and one with a Redis."""
    if request.param == "table":
        yield aws_settings
        return
    with redis_server(tmp_path) as (url, _):
        yield aws_settings.model_copy(update={"cache_url": SecretStr(url)})


class Detector:
    """Counts what it is asked, and keeps a picture as evidence."""

    def __init__(self, modality="video", outcome=Outcome.SCORED):
        self.modality, self.outcome, self.asked = modality, outcome, 0

    def __call__(self, path, media):
        self.asked += 1
        ref = EvidenceRef(name="face.jpg", kind="face", start_s=1.0, probability=0.7)
        result = PartialResult(
            modality=self.modality,
            outcome=self.outcome,
            llr=0.1 + 0.2,
            evidence=(ref,),
            timings_ms={"score": 7.0},
        )
        return Analysis(result, (Evidence(ref, b"\xff\xd8\xffpicture"),))


def job_of(settings, name, content=None):
    """Upload a file past the events and make its job; returns its id."""
    key = f"uploads/{name}"
    answer = aws.client(settings, "s3").put_object(
        Bucket=settings.uploads_bucket, Key=key, Body=content or SAMPLES[0].read_bytes()
    )
    etag = answer["ETag"].strip('"')
    upload = Upload(bucket=settings.uploads_bucket, key=key, etag=etag)
    return JobStore(settings).create(upload, datetime.now(UTC)).job.job_id


def run(settings, job_id, detector):
    halves.run_half(settings, detector.modality, job_id, detector)
    return JobStore(settings).get(job_id)


def counted(outcome, modality="video"):
    return CACHE_LOOKUPS.labels(modality, outcome)._value.get()


def test_the_same_content_is_analysed_once_and_says_so(settings):
    detector, hits = Detector(), counted("hit")
    first = run(settings, job_of(settings, "one.mp4"), detector)
    second = run(settings, job_of(settings, "two.mp4"), detector)

    assert detector.asked == 1
    assert counted("hit") == hits + 1
    assert (first.cache_hit, first.video.analysed_at) == (False, None)
    assert second.cache_hit
    assert first.created_at <= second.video.analysed_at <= second.created_at
    same = {"evidence", "timings_ms", "analysed_at"}
    assert second.video.model_dump(exclude=same) == first.video.model_dump(exclude=same)
    assert set(second.video.timings_ms) == {"fetch"}, "it did not take the time of the first"
    assert (second.sha256, second.media) == (first.sha256, first.media)


def test_the_evidence_of_the_second_is_its_own(settings):
    detector = Detector()
    first = run(settings, job_of(settings, "one.mp4"), detector)
    second = run(settings, job_of(settings, "two.mp4"), detector)

    (ref,) = second.video.evidence
    assert ref.key == f"evidence/{second.job_id}/face.jpg"
    aws.client(settings, "s3").delete_object(
        Bucket=settings.reports_bucket, Key=first.video.evidence[0].key
    )
    assert objects.get_report(settings, ref.key) == b"\xff\xd8\xffpicture"
    third = run(settings, job_of(settings, "three.mp4"), detector)
    assert (detector.asked, third.cache_hit) == (2, False), "the first one's evidence is gone"


def test_the_report_says_that_it_comes_from_an_earlier_analysis(settings):
    model = fusion.load(Registry())
    for modality in ("audio", "video"):
        run(settings, job_of(settings, "one.mp4"), Detector(modality))
        job = run(settings, job_of(settings, "two.mp4"), Detector(modality))
    job = service.conclude(settings, JobStore(settings), job.job_id, model, datetime.now(UTC))

    document = report.render_json(job, Registry())
    assert document["cache_hit"] is True
    assert document["audio"]["analysed_at"] == f"{job.audio.analysed_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    for language, words in (("en", "same recording"), ("ko", "같은 내용")):
        shown = page.render(job, language, {}, report.encode(document))
        assert words in shown
        for half in (job.audio, job.video):
            assert f"({half.analysed_at:%Y-%m-%d %H:%M:%S} UTC)" in shown


def test_other_content_other_models_and_other_sampling_are_analysed(settings, tmp_path):
    detector = Detector()
    run(settings, job_of(settings, "one.mp4"), detector)
    run(settings, job_of(settings, "other.mp4", SAMPLES[1].read_bytes()), detector)
    assert detector.asked == 2

    run(settings.model_copy(update={"sample_rate": 7}), job_of(settings, "two.mp4"), detector)
    assert detector.asked == 3

    models = tmp_path / "models"
    shutil.copytree(PACKAGED, models)
    manifest = models / "models.toml"
    digest = next(iter(Registry().entries.values())).sha256
    manifest.write_text(manifest.read_text().replace(digest, digest[::-1]))
    run(settings.model_copy(update={"models_dir": models}), job_of(settings, "3.mp4"), detector)
    assert detector.asked == 4


def test_a_change_of_code_between_two_versions_is_analysed(aws_settings, tmp_path, monkeypatch):
    made_by = cache.made_by.__wrapped__
    before = made_by(aws_settings)
    for package in cache._PACKAGES:
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("*.onnx"))
    monkeypatch.setattr(cache, "_PACKAGES", tuple(tmp_path / p.name for p in cache._PACKAGES))

    assert made_by(aws_settings) == before
    with (tmp_path / "workers/audio/closer.py").open("a") as module:
        module.write("#")
    assert made_by(aws_settings) != before


def test_a_result_is_used_for_the_days_that_are_set_and_no_longer(settings):
    detector = Detector()
    first = run(settings, job_of(settings, "one.mp4"), detector)
    old = datetime.now(UTC) - timedelta(days=settings.cache_days, seconds=1)
    cache.keep(settings, first.job_id, first.sha256, first.video, old)  # as lies there till it goes

    assert not run(settings, job_of(settings, "two.mp4"), detector).cache_hit


def test_a_job_that_another_release_wrote_in_another_form_is_analysed_anew(aws_settings):
    detector = Detector()
    first = run(aws_settings, job_of(aws_settings, "one.mp4"), detector)
    aws.client(aws_settings, "dynamodb").update_item(
        TableName=aws_settings.table,
        Key={"pk": {"S": first.job_id}},
        UpdateExpression="REMOVE object_key",
    )

    assert not run(aws_settings, job_of(aws_settings, "two.mp4"), detector).cache_hit


def test_a_failure_is_not_remembered(settings):
    detector = Detector(outcome=Outcome.FAILED)
    for name in ("one.mp4", "two.mp4"):
        assert not run(settings, job_of(settings, name), detector).cache_hit
    assert detector.asked == 2


def test_what_another_release_stored_meanwhile_is_not_remembered_as_ones_own(settings):
    detector, job_id = Detector(), job_of(settings, "one.mp4")
    other = settings.model_copy(update={"sample_rate": 7})

    class Slower(Detector):
        def __call__(self, path, media):
            run(other, job_id, detector)
            return super().__call__(path, media)

    slower = Slower()
    run(settings, job_id, slower)
    assert (detector.asked, slower.asked) == (1, 1)

    assert not run(settings, job_of(settings, "two.mp4"), Detector()).cache_hit


def test_a_result_that_is_being_made_again_is_not_there(settings):
    detector = Detector()
    job = run(settings, job_of(settings, "one.mp4"), detector)
    JobStore(settings).reopen(job, ("video",), datetime.now(UTC))

    assert not run(settings, job_of(settings, "two.mp4"), detector).cache_hit


def test_who_asks_for_a_repetition_gets_one(settings):
    detector = Detector()
    job = run(settings, job_of(settings, "one.mp4"), detector)
    run(settings, job.job_id, Detector("audio"))
    model = fusion.load(Registry())
    first = service.conclude(settings, JobStore(settings), job.job_id, model, datetime.now(UTC))

    repeat.retry(settings, job.job_id)
    again = run(settings, job.job_id, detector)

    assert (detector.asked, again.cache_hit) == (2, False)
    assert again.superseded == (first.as_superseded(),), "what was said, and by which models"


def test_erasing_a_job_forgets_the_result_of_its_content(settings):
    detector = Detector()
    job = run(settings, job_of(settings, "one.mp4"), detector)

    erasure.erase(settings, job.job_id, "cli:test", datetime.now(UTC))
    assert cache.look_up(settings, "video", job.sha256) is None
    run(settings, job_of(settings, "two.mp4"), detector)

    assert detector.asked == 2


def test_the_cache_can_be_switched_off(settings):
    off, detector = settings.model_copy(update={"cache_days": 0}), Detector()
    for name in ("one.mp4", "two.mp4"):
        run(off, job_of(off, name), detector)
    assert detector.asked == 2


def test_an_entry_of_another_release_is_no_entry(aws_settings):
    now = datetime.now(UTC)
    items.put(aws_settings, "cache", "0:video", {"format": "unknown"}, now, 60)

    assert cache.look_up(aws_settings, "video", "0") is None


def test_entries_expire(aws_settings):
    half, now = Detector()(None, None).result, datetime.now(UTC)
    cache.keep(aws_settings, "a-job", "0", half, now)
    row = aws.client(aws_settings, "dynamodb").get_item(
        TableName=aws_settings.table, Key={"pk": {"S": "cache:0:video"}}
    )["Item"]

    assert "feed" not in row, "nobody lists them"
    kept = datetime.fromtimestamp(int(row["expires"]["N"]), UTC) - now
    assert kept == pytest.approx(timedelta(days=30), abs=timedelta(seconds=2))


# --- a Redis that fails ---------------------------------------------------------------------------


def test_a_redis_that_is_down_costs_time_and_no_result(aws_settings, sending, tmp_path):
    detector = Detector()
    with redis_server(tmp_path) as (url, server):
        there = aws_settings.model_copy(update={"cache_url": SecretStr(url)})
        run(there, job_of(there, "one.mp4"), detector)
        server.kill()
        server.wait()

        failed, started = counted("failed"), time.monotonic()
        jobs = [run(there, job_of(there, f"{n}.mp4"), detector) for n in range(3)]

    assert [job.video.outcome for job in jobs] == [Outcome.SCORED] * 3
    assert (detector.asked, counted("failed") - failed) == (4, 3)
    assert time.monotonic() - started < 30
    assert all(job.status is JobStatus.RUNNING for job in jobs)


@pytest.mark.alone
def test_a_redis_that_hangs_is_asked_once_and_then_left_alone(aws_settings, sending, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        hung = aws_settings.model_copy(update={"cache_url": SecretStr(url)})
        started = time.monotonic()
        for _ in range(20):
            assert cache.look_up(hung, "video", "0") is None

    assert time.monotonic() - started < 5


def test_a_redis_that_is_back_is_used_again(aws_settings, sending, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_redis, "_LEAVE_ALONE_S", 0.0)
    half, now = Detector()(None, None).result, datetime.now(UTC)
    job_id = job_of(aws_settings, "one.mp4")
    JobStore(aws_settings).save_partial(job_id, half, now)
    with redis_server(tmp_path) as (url, server):
        there = aws_settings.model_copy(update={"cache_url": SecretStr(url)})
        server.kill()
        server.wait()
        cache.keep(there, job_id, "0", half, now)
        port = int(url.rpartition(":")[2].partition("/")[0])
        with redis_server(tmp_path, port):
            assert cache.look_up(there, "video", "0") is None
            cache.keep(there, job_id, "0", half, now)
            assert cache.look_up(there, "video", "0").half == half
