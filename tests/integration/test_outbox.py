"""Others are told of verdicts: signed, again after a failure, and never at a verdict's cost."""

import contextlib
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared import aws, outbox
from shared.errors import NotMedia, ServiceUnavailable, SettingsInvalid
from shared.jobs import JobStore
from shared.models import Registry
from shared.outbox import Outbox
from shared.queues import queue_url
from shared.records import PROBE_PREFIX, JobStatus, Outcome, PartialResult, Upload
from shared.settings import Settings
from workers.aggregator import fusion, notices, service
from workers.aggregator.outbox import GIVE_UP_AFTER, empty_once, pause_s

pytestmark = pytest.mark.integration
DOCUMENT = Path(__file__).parents[2] / "deploy" / "helm" / "silver-guardian" / "NOTICES.md"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "a webhook's secret"


@pytest.fixture
def receiver():
    """A receiver of webhooks that answers with the statuses in `answers`, then 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.heard.append((dict(self.headers), body))
            self.send_response(server.answers.pop(0) if server.answers else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.heard, server.answers = [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def settings(aws_settings, receiver):
    url = f"http://127.0.0.1:{receiver.server_port}/verdicts?from=guardian"
    secret = Settings(webhook_secret=SECRET).webhook_secret
    return aws_settings.model_copy(update={"webhook_url": url, "webhook_secret": secret})


@pytest.fixture(scope="module")
def model():
    return fusion.load(Registry())


def decided(settings, model, name="a.mp4", now=NOW):
    """Take a job through to its verdict as the aggregator does."""
    store = JobStore(settings)
    upload = Upload(bucket=settings.uploads_bucket, key=f"uploads/{name}", etag=name, size_bytes=1)
    job_id = store.create(upload, now).job.job_id
    for modality in ("audio", "video"):
        half = PartialResult(modality=modality, outcome=Outcome.NOT_APPLICABLE, reason="no_speech")
        store.save_partial(job_id, half, now)
    return service.conclude(settings, store, job_id, model, now).job_id


def empty(settings, now):
    return empty_once(Outbox(settings), notices.targets(settings), now)


@pytest.mark.parametrize(
    "address",
    [
        "https://h:84430/",
        "https://h:abc/",
        "https://h/확인",
        f"https://{'h' * 64}/",
        "https://[::1",
    ],
)
def test_an_address_that_nothing_could_be_posted_to_is_refused_at_the_start(settings, address):
    with pytest.raises(SettingsInvalid, match="GUARDIAN_WEBHOOK_URL"):
        notices.targets(settings.model_copy(update={"webhook_url": address}))


def test_a_verdict_is_posted_once_with_a_signature_that_can_be_checked(settings, receiver, model):
    job_id = decided(settings, model)
    assert JobStore(settings).get(job_id).telling.state == "pending"
    assert (empty(settings, NOW), empty(settings, NOW + timedelta(days=1))) == (1, 0)

    ((headers, body),) = receiver.heard
    signed = f"{headers['X-Guardian-Timestamp']}.".encode() + body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert headers["X-Guardian-Signature"] == f"v1={expected}"
    assert (told["job_id"], told["verdict"]["label"]) == (job_id, "not_applicable")
    assert headers["X-Guardian-Delivery"] == told["delivery_id"]
    telling = JobStore(settings).get(job_id).telling
    assert (telling.state, telling.done, telling.attempts) == ("delivered", ("webhook",), 1)


def test_the_documented_check_takes_our_messages_and_no_others(settings, receiver, model):
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    documented = {}
    exec(code, documented)
    decided(settings, model)
    empty(settings, NOW)
    ((headers, body),) = receiver.heard

    assert documented["is_ours"](SECRET, headers, body)
    assert not documented["is_ours"]("another", headers, body)
    assert not documented["is_ours"](SECRET, headers, body + b" ")
    assert not documented["is_ours"](SECRET, {**headers, "X-Guardian-Timestamp": "1"}, body)
    example, _ = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert json.loads(example).keys() == json.loads(body).keys()
    assert json.loads(example)["verdict"].keys() == json.loads(body)["verdict"].keys()


def refused(settings, name="letter.pdf", now=NOW):
    """Reject an upload as intake does."""
    upload = Upload(bucket=settings.uploads_bucket, key=f"uploads/{name}", etag=name, size_bytes=1)
    return outbox.reject(settings, upload, NotMedia(), now).job.job_id


def test_a_rejection_is_told_too_with_its_reason(settings, receiver):
    job_id = refused(settings)
    receiver.answers = [500]
    assert empty(settings, NOW) == 1
    assert refused(settings, now=NOW + timedelta(seconds=1)) == job_id  # the event came twice
    assert JobStore(settings).get(job_id).telling.attempts == 1
    assert empty(settings, NOW + timedelta(seconds=pause_s(1))) == 1
    assert empty(settings, NOW + timedelta(days=1)) == 0

    first, told = (json.loads(body) for _, body in receiver.heard)
    assert first == told
    assert (told["type"], told["job_id"]) == ("rejection", job_id)
    assert told["rejection"]["code"] == "not_media"
    assert JobStore(settings).get(job_id).telling.state == "delivered"
    _, example = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert json.loads(example).keys() == told.keys()
    assert json.loads(example)["rejection"].keys() == told["rejection"].keys()


def test_of_a_rejected_probe_nobody_is_told(settings, aws_settings):
    refused(settings, PROBE_PREFIX.removeprefix("uploads/") + "x.mp4")
    refused(aws_settings)

    assert empty(settings, NOW) == 0


def test_a_receiver_that_is_down_is_tried_again_ever_more_slowly(settings, receiver, model):
    receiver.answers = [500, 302]
    job_id = decided(settings, model)
    assert JobStore(settings).get(job_id).status is JobStatus.COMPLETE
    now = NOW
    for attempt in (1, 2):
        assert empty(settings, now) == 1
        telling = JobStore(settings).get(job_id).telling
        assert (telling.state, telling.attempts) == ("pending", attempt)
        assert "answered" in telling.last_error
        assert empty(settings, now + timedelta(seconds=pause_s(attempt) - 1)) == 0
        now += timedelta(seconds=pause_s(attempt))
    assert empty(settings, now) == 1

    assert JobStore(settings).get(job_id).telling.state == "delivered"
    assert len({headers["X-Guardian-Delivery"] for headers, _ in receiver.heard}) == 1


def test_after_a_day_nobody_is_told_any_more(settings, receiver, model):
    receiver.answers = [500]
    job_id = decided(settings, model)
    late = NOW + GIVE_UP_AFTER + timedelta(seconds=1)

    assert (empty(settings, late), empty(settings, late + timedelta(days=1))) == (1, 0)
    telling = JobStore(settings).get(job_id).telling
    assert (telling.state, telling.last_error) == ("gave_up", "webhook: It answered 500.")


def test_of_two_aggregators_one_tells(settings, receiver, model):
    job_id = decided(settings, model)
    job = JobStore(settings).get(job_id)
    store = Outbox(settings)

    assert [store.claim(job, NOW, 60), store.claim(job, NOW, 60)] == [True, False]
    store.erase(job_id)
    assert not store.claim(job, NOW + timedelta(minutes=5), 60)
    store.tried(job, job.telling, NOW, None)


def test_deciding_again_does_not_tell_again_but_another_verdict_does(settings, receiver, model):
    job_id = decided(settings, model)
    empty(settings, NOW)
    store = JobStore(settings)
    service.conclude(settings, store, job_id, model, NOW)
    assert empty(settings, NOW) == 0

    later = NOW + timedelta(hours=1)
    store.reopen(store.get(job_id), (), later)
    service.conclude(settings, store, job_id, model, later)
    assert empty(settings, later) == 1
    first, second = (json.loads(body) for _, body in receiver.heard)
    assert first["delivery_id"] != second["delivery_id"]
    assert second["supersedes"] == 1


def test_a_try_that_ends_late_does_not_close_the_telling_of_a_newer_verdict(
    settings, receiver, model
):
    store = Outbox(settings)
    job_id = decided(settings, model)
    old = store.get(job_id)
    assert store.claim(old, NOW, 60)
    later = NOW + timedelta(seconds=30)
    store.reopen(store.get(job_id), (), later)
    assert not store.claim(store.get(job_id), later, 60)
    service.conclude(settings, store, job_id, model, later)

    store.tried(old, old.telling.model_copy(update={"done": ("webhook",)}), later, None)

    assert not store.is_closed(job_id)
    assert not store.claim(old, later, 60)
    assert empty(settings, later) == 1
    assert json.loads(receiver.heard[0][1])["supersedes"] == 1


def test_a_sweeper_finds_nothing_to_mend_in_the_outbox(settings, model):
    decided(settings, model)

    assert list(JobStore(settings).overdue(NOW + timedelta(days=9))) == []


def test_where_nobody_wants_to_be_told_nothing_is_kept(aws_settings, model):
    job_id = decided(aws_settings, model)
    outbox.close(aws_settings, JobStore(aws_settings).get(job_id), NOW)

    assert JobStore(aws_settings).get(job_id).telling is None
    assert notices.targets(aws_settings) == {}


def test_an_event_goes_to_the_bus_and_only_what_failed_is_told_again(settings, receiver, model):
    settings = settings.model_copy(update={"event_bus": "default"})
    events, sqs = aws.client(settings, "events"), aws.client(settings, "sqs")
    queue = settings.queue("uploads")
    url = queue_url(settings, queue)
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    pattern = json.dumps({"source": [settings.prefix]})
    events.put_rule(Name=settings.prefix, EventPattern=pattern)
    events.put_targets(Rule=settings.prefix, Targets=[{"Id": "queue", "Arn": arn["QueueArn"]}])
    receiver.answers = [503]
    job_id = decided(settings, model)

    empty(settings, NOW)
    assert JobStore(settings).get(job_id).telling.done == ("event_bus",)
    empty(settings, NOW + timedelta(seconds=pause_s(1)))
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    (body,) = [body for one in messages if "detail" in (body := json.loads(one["Body"]))]
    assert (body["detail-type"], body["detail"]["job_id"]) == (
        notices.DETAIL_TYPES["verdict"],
        job_id,
    )
    assert len(receiver.heard) == 2
    assert JobStore(settings).get(job_id).telling.state == "delivered"


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("http://example.org/verdicts", SECRET),
        ("https://user:word@example.org/", SECRET),
        ("ftp://127.0.0.1/", SECRET),
        ("https://example.org/verdicts", None),
    ],
)
def test_an_address_that_would_give_verdicts_away_is_refused(url, secret):
    with pytest.raises(SettingsInvalid, match="GUARDIAN_WEBHOOK"):
        notices.targets(Settings(webhook_url=url, webhook_secret=secret))


def test_pauses_double_up_to_an_hour():
    assert [pause_s(n) for n in (1, 2, 3, 10, 11, 30)] == [5, 10, 20, 2560, 3600, 3600]


def test_a_receiver_that_answers_byte_by_byte_has_no_more_time(monkeypatch):
    monkeypatch.setattr(notices, "TIMEOUT_S", 0.3)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = urlsplit(f"http://127.0.0.1:{server.getsockname()[1]}/")

        def drip():
            with contextlib.suppress(OSError), server.accept()[0] as peer:
                for letter in b"HTTP/1.1 200 OK" + 100 * b" ":
                    peer.sendall(bytes([letter]))
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        monkeypatch.setattr(notices, "message", lambda _: {"delivery_id": "x"})
        with pytest.raises(ServiceUnavailable):
            notices._post(url, "secret", None)
    assert time.monotonic() - began < 5
