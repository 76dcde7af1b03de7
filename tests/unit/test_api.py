"""The analyzer over HTTP: real pipelines, a real server, a real stand-in behind it."""

import asyncio
import errno
import hashlib
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import HTTPException
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from shared import aws, objects
from shared.errors import Busy, ObjectGone
from shared.guards import LOCKED_S, MAX_FAILURES, Gate
from shared.settings import Settings
from shared.web import check_exposure
from workers import analyzer_api
from workers.analyzer import AnalyzeRequest, AnalyzeResponse, Engine
from workers.samples import SAMPLES

pytestmark = pytest.mark.unit
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def settings(endpoint_url, tmp_path_factory):
    from workers.provision import provision  # noqa: PLC0415  # beside its only use

    directory = tmp_path_factory.mktemp("api")
    settings = Settings(
        prefix="api",
        endpoint_url=endpoint_url,
        work_dir=directory / "work",
        max_upload_bytes=2_000_000,
    )
    provision(settings)
    s3 = aws.client(settings, "s3")
    s3.put_object(Bucket=settings.uploads_bucket, Key="uploads/a.mp4", Body=SAMPLES[1].read_bytes())
    s3.put_object(Bucket=settings.uploads_bucket, Key="uploads/letter.mp4", Body=b"Dear" * 99)
    return settings


@pytest.fixture(scope="module")
def api(settings, serve, wait_for):
    with serve(analyzer_api.create(settings, "audio")) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        yield client


def ask(api, key="uploads/a.mp4", bucket="api-uploads", path="/analyze"):
    return api.post(path, json={"s3_bucket": bucket, "s3_key": key})


def test_a_known_clip_of_each_side_makes_it_ready(api):
    ready = api.get("/ready").json()

    assert ready["bona_fide_llr"] < 0 < ready["manipulated_llr"]


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_a_load_balancer_may_ask_for_the_status_alone(api, path):
    answer = api.request("HEAD", path)

    assert (answer.status_code, answer.content) == (200, b"")


def test_the_picture_analyzer_knows_its_clips_too(settings):
    engine = Engine(settings, "video")
    engine.self_test()
    engine.close()

    assert engine.ready
    assert engine.test["bona_fide_llr"] < 0 < engine.test["manipulated_llr"]


def test_requests_at_the_same_time_get_the_answers_of_requests_alone(api):
    alone = ask(api).json()["result"]
    with ThreadPoolExecutor(3) as pool:
        together = [answer.json()["result"] for answer in pool.map(lambda _: ask(api), range(3))]

    for result in together:
        assert result["llr"] == pytest.approx(alone["llr"], abs=1e-3)
        assert result["coverage"] == alone["coverage"]


def test_an_object_is_analysed_while_the_client_waits(api):
    answer = ask(api)

    found = AnalyzeResponse.model_validate(answer.json())
    assert answer.status_code == 200
    assert found.sha256 == hashlib.sha256(SAMPLES[1].read_bytes()).hexdigest()
    assert found.result.llr > 0


def test_an_uploaded_file_gets_the_same_answer_as_the_object(api):
    with SAMPLES[1].open("rb") as file:
        uploaded = api.post("/analyze/upload", files={"file": ("a.mp4", file)}).json()

    volatile = {"timings_ms"}
    mine, other = uploaded["result"], ask(api).json()["result"]
    assert {k: v for k, v in mine.items() if k not in volatile} == {
        k: v for k, v in other.items() if k not in volatile
    }


@pytest.mark.parametrize(
    ("key", "bucket", "status", "code"),
    [
        ("uploads/gone.mp4", "api-uploads", 404, "object_gone"),
        ("uploads/letter.mp4", "api-uploads", 415, "not_media"),
        ("reports/a.mp4", "api-uploads", 403, "key_outside_uploads"),
        ("uploads/a.mp4", "somebody-elses", 403, "wrong_bucket"),
    ],
)
def test_what_is_refused_is_a_problem_with_its_code(api, key, bucket, status, code):
    answer = ask(api, key, bucket)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == PROBLEM


def test_a_key_that_never_was_is_not_told_as_one_that_is_gone(api):
    assert ask(api, "uploads/misspelt.mp4").json()["title"].startswith("There is no such object")


def test_an_invalid_request_says_what_is_missing(api):
    answer = api.post("/analyze", json={"s3_key": "uploads/a.mp4"})

    assert answer.status_code == 422
    assert "s3_bucket" in answer.json()["detail"]


def test_a_body_that_is_too_large_is_refused_however_it_comes(api):
    large = b"\0" * 2_200_000
    told = api.post("/analyze/upload", files={"file": ("a.mp4", large)})

    def chunks():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    streamed = api.post("/analyze/upload", content=chunks(), headers=headers)

    assert (told.status_code, told.json()["code"]) == (413, "too_large")
    assert (streamed.status_code, streamed.json()["code"]) == (413, "too_large")


def test_a_job_is_begun_at_once_and_fetched_later(api, wait_for):
    begun = ask(api, path="/jobs")
    assert begun.status_code == 202
    assert int(begun.headers["retry-after"]) > 0
    where = begun.headers["location"]
    wait_for(lambda: api.get(where).json()["status"] != "queued")

    job = api.get(where).json()
    assert job["status"] == "complete"
    assert job["response"]["result"]["llr"] > 0
    assert api.get("/jobs/unknown").json()["code"] == "unknown_job"


def test_a_job_that_cannot_begin_is_refused_at_once(api, monkeypatch):
    refused = ask(api, bucket="elsewhere", path="/jobs"), ask(api, key="x.mp4", path="/jobs")
    assert [answer.status_code for answer in refused] == [403, 403]

    monkeypatch.setattr("workers.analyzer.MAX_WAITING", 0)
    assert ask(api, path="/jobs").status_code == 429


async def test_a_job_has_its_place_from_the_moment_it_is_accepted(settings, monkeypatch):
    monkeypatch.setattr("workers.analyzer.MAX_WAITING", 2)
    engine = Engine(settings, "audio")
    request = AnalyzeRequest(s3_bucket="api-uploads", s3_key="uploads/gone.mp4")

    accepted = [engine.on_object(request) for _ in range(2)]
    with pytest.raises(Busy):
        engine.on_object(request)
    ends = await asyncio.gather(*accepted, return_exceptions=True)
    engine.check_room()
    engine.close()

    assert [type(end) for end in ends] == [ObjectGone, ObjectGone]


def test_a_form_holds_a_file_and_little_text(api):
    file = {"file": ("a.mp4", b"Dear")}
    texts = {f"f{number}": "" for number in range(9)}

    refused = (
        api.post("/analyze/upload", files=file, data={"text": "x" * 9000}),
        api.post("/analyze/upload", files=file, data=texts),
        api.post("/analyze/upload", files=[*file.items(), *file.items()]),
    )
    assert [answer.status_code for answer in refused] == [400, 400, 400]
    assert all(answer.headers["content-type"] == PROBLEM for answer in refused)
    assert api.post("/analyze/upload", files=file, data={"text": "x"}).status_code == 415


@pytest.mark.parametrize("rate", [0, -1, 10_001])
def test_a_form_samples_within_the_bounds_of_an_object(api, rate):
    answer = api.post(f"/analyze/upload?sample_rate={rate}", files={"file": b"Dear"})

    assert answer.status_code == 422


async def test_jobs_that_run_are_not_forgotten_for_newer_ones(monkeypatch):
    monkeypatch.setattr(analyzer_api, "MAX_JOBS", 2)
    book, runs = analyzer_api.JobBook(), asyncio.Event()

    async def refused():
        raise ObjectGone

    running = book.start(runs.wait())
    for _ in range(4):
        last = book.start(refused())
        await asyncio.sleep(0)

    assert book.get(running.job_id).status == "queued"
    assert book.get(last.job_id).error.code == "object_gone"
    assert len(book._jobs) == 2
    runs.set()


def test_what_goes_wrong_with_one_item_is_told_and_counted_beside_the_others(api, monkeypatch):
    fetch = objects.fetch

    def full(settings, upload, directory):
        if upload.key == "uploads/letter.mp4":
            raise OSError(errno.ENOSPC, "No space left on device")
        return fetch(settings, upload, directory)

    monkeypatch.setattr(objects, "fetch", full)
    keys = ("uploads/letter.mp4", "uploads/a.mp4")
    items = [{"s3_bucket": "api-uploads", "s3_key": key} for key in keys]
    bad, good = api.post("/analyze/batch", json={"items": items}).json()["items"]

    assert bad["error"]["code"] == "internal_error"
    assert good["response"]["result"]["outcome"] == "scored"
    assert 'outcome="internal_error"' in api.get("/metrics").text


def test_a_batch_has_an_outcome_for_each_item(api):
    keys = ("uploads/a.mp4", "uploads/gone.mp4")
    items = [{"s3_bucket": "api-uploads", "s3_key": key} for key in keys]
    good, bad = api.post("/analyze/batch", json={"items": items}).json()["items"]

    assert good["response"]["result"]["outcome"] == "scored"
    assert bad["error"]["code"] == "object_gone"


def test_the_documentation_asks_no_outside_host(api):
    page = api.get("/docs").text
    assert "://" not in page.replace("http-equiv", "")
    assert "SwaggerUIBundle" in api.get("/docs/assets/swagger-ui-bundle.js").text[:200_000]


def test_version_names_the_models_with_their_hashes(api):
    models = api.get("/version").json()["models"]

    assert {"voice-detector", "voice-activity"} <= {model["name"] for model in models}
    assert all(len(model["sha256"]) == 64 for model in models)


def test_metrics_count_requests_by_outcome(api):
    ask(api, "uploads/gone.mp4")
    ask(api, "elsewhere/a.mp4")
    ask(api, bucket="another")

    text = api.get("/metrics").text
    for code in ("object_gone", "key_outside_uploads", "wrong_bucket"):
        assert f'guardian_analyzer_requests_total{{modality="audio",outcome="{code}"}}' in text
    assert 'guardian_self_test_passed{modality="audio"} 1.0' in text


def test_every_answer_has_the_headers_that_protect_a_browser(api):
    headers = api.get("/health").headers

    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


def test_nothing_stays_on_disk(api, settings):
    ask(api)

    assert not [path for path in settings.work_dir.rglob("*") if path.is_file()]


def test_the_interface_keeps_its_own_schema(api, explore):
    """Schemathesis: no server error and no answer that the document does not describe."""
    assert explore(str(api.base_url)) == []


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded"])
def test_whoever_does_not_say_that_a_body_is_json_is_told_so(api, kind):
    body = b'{"s3_bucket": "api-uploads", "s3_key": "uploads/a.mp4"}'

    answer = api.post("/analyze", content=body, headers={"Content-Type": kind} if kind else {})

    assert answer.status_code == 422
    assert answer.json()["detail"].endswith(f"application/json, not {kind or 'none'}.")


def test_the_type_of_a_form_may_be_written_in_any_case(api):
    frame = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n%b\r\n--b--'
    )
    kind = {"Content-Type": "Multipart/Form-Data; boundary=b"}

    answer = api.post("/analyze/upload", content=frame % bytes(1_500_000), headers=kind)

    assert answer.json()["code"] == "not_media"


def test_a_token_is_needed_where_one_is_set(settings, serve):
    closed = settings.model_copy(update={"api_token": Settings(api_token="right").api_token})
    with serve(analyzer_api.create(closed, "audio")) as client:
        assert ask(client).status_code == 401
        assert ask(client).headers["www-authenticate"] == "Bearer"
        client.headers["Authorization"] = "Bearer right"
        assert ask(client, "uploads/gone.mp4").status_code == 404


def test_those_who_guess_tokens_have_to_wait_and_shut_nobody_out():
    now = [0.0]
    gate = Gate({"right": "operator"}, clock=lambda: now[0])

    def status(token):
        try:
            return gate.role("127.0.0.1", token)
        except HTTPException as error:
            return error.status_code

    assert [status("wrong") for _ in range(MAX_FAILURES)] == [401] * MAX_FAILURES
    assert [status("wrong"), status("guess"), status(None)] == [429, 429, 401]
    assert status("right") == "operator"
    assert status("wrong") == 429
    now[0] = LOCKED_S + 1
    assert status("wrong") == 401


@pytest.mark.parametrize("token", [None, ""])
def test_an_open_address_needs_a_token(token):
    from shared.errors import SettingsInvalid  # noqa: PLC0415  # beside its only use

    with pytest.raises(SettingsInvalid, match="GUARDIAN_API_TOKEN"):
        check_exposure(Settings(host="0.0.0.0", api_token=token))
    check_exposure(Settings(host="0.0.0.0", api_token="secret"))
    check_exposure(Settings(host="127.0.0.1"))


def test_an_analyzer_whose_network_cannot_be_run_any_more_ends(
    settings, serve, monkeypatch, wait_for
):
    ended = []
    monkeypatch.setattr(os, "kill", lambda *what: ended.append(what))
    engine = Engine(settings, "audio")
    with serve(analyzer_api.create(settings, "audio", engine)) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        assert ask(client, "uploads/gone.mp4").status_code == 404
        assert ended == []
        failed = InvalidArgument("CUDA failure 719")
        monkeypatch.setattr(engine, "_run", lambda *_: (_ for _ in ()).throw(failed))

        assert ask(client).status_code == 500
        assert ended == [(os.getpid(), signal.SIGTERM)]
        assert not engine.ready


def test_an_analysis_that_hangs_is_noticed(settings, serve, monkeypatch, wait_for):
    hurried = settings.model_copy(update={"job_timeout_s": 2})
    engine = Engine(hurried, "audio")
    with serve(analyzer_api.create(hurried, "audio", engine)) as client:
        wait_for(lambda: client.get("/ready").status_code == 200)
        ended = threading.Event()
        monkeypatch.setattr(engine, "_analyze", lambda _: lambda *_: ended.wait(60))
        client.post("/jobs", json={"s3_bucket": "api-uploads", "s3_key": "uploads/a.mp4"})
        assert client.get("/health").json() == {"status": "alive"}
        wait_for(lambda: client.get("/health").status_code == 503)
        assert client.get("/health").json()["code"] == "stuck"

        ended.set()
        wait_for(lambda: client.get("/health").status_code == 200)


# The last ones: their engines leave the figure of the self-test at 0.


def test_a_model_that_misses_its_known_answers_is_not_ready(settings, monkeypatch):
    monkeypatch.setattr("workers.known_answers.SAMPLES", SAMPLES[::-1])
    engine = Engine(settings, "audio")
    engine.self_test()
    engine.close()

    assert not engine.ready


async def test_a_self_test_that_breaks_off_leaves_the_analyzer_up_and_not_ready(
    settings, monkeypatch, tmp_path
):
    monkeypatch.setattr("workers.known_answers.SAMPLES", (tmp_path / "gone.mp4",))
    engine = Engine(settings, "audio")
    await engine.begin()
    engine.close()

    assert not engine.ready
