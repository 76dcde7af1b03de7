"""The console: its pages in a real browser against the whole system on this machine."""

import json
import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx
import pytest

from shared import aws, depths, letters
from shared.errors import UnknownJob
from shared.jobs import JobStore
from shared.queues import queue_url
from shared.settings import Settings
from workers import local, stored_page
from workers.console import app
from workers.provision import provision
from workers.samples import SAMPLES

pytestmark = pytest.mark.integration
GUARDIAN = Path(sys.executable).with_name("guardian")
HOST = "127.0.0.1"
CHANGE = {"X-Guardian-Console": "1"}
_WAIT_S = 90
#: A busy machine takes longer than the 5 s that httpx would wait.
get, post = (partial(ask, timeout=_WAIT_S) for ask in (httpx.get, httpx.post))


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    directory = tmp_path_factory.mktemp("console")
    settings = Settings(state_dir=directory / "state", work_dir=directory / "work")
    with local.running(settings) as running:
        yield running


@pytest.fixture(scope="module")
def console(system, start_console):
    with start_console(system.settings) as url:
        yield url


@pytest.fixture
def page(browser, console):
    """A page in English that must not log an error."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    page = context.new_page()
    errors = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(_WAIT_S * 1000)
    page.goto(console)
    yield page
    context.close()
    expected = re.compile(r"404 \(Not Found\)")  # a job is asked for before it is there
    assert [error for error in errors if not expected.search(error)] == []


def go(page, name):
    page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()


def upload(page, path):
    go(page, "Submit")
    page.set_input_files("#file", str(path))
    page.wait_for_url("**/#/jobs/*")
    return page.url.rpartition("/")[2]


def toggle(page, name, words):
    go(page, "Queues")
    page.locator(f"[data-queue={name}]").get_by_role("button", name=words).click()
    if words == "Pause":
        page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    other = "Resume" if words == "Pause" else "Pause"
    page.locator(f"[data-queue={name}]").get_by_role("button", name=other).wait_for()


def row(system, name):
    return next(one for one in depths.measure(system.settings) if one.name.endswith(f"-{name}"))


@pytest.fixture(scope="module")
def done(system, browser, console):
    """The id of a job that was uploaded through the page, once its verdict is shown."""
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(_WAIT_S * 1000)
    page.goto(console)
    job_id = upload(page, SAMPLES[1])
    page.get_by_text("What to do:").wait_for()
    context.close()
    return job_id


def test_an_upload_by_the_page_becomes_a_verdict_without_a_reload(system, done):
    job = JobStore(system.settings).get(done)

    assert job.status == "complete"
    assert job.key.startswith("uploads/")
    assert job.key.endswith("/manipulated.mp4")


def test_the_job_page_shows_what_the_verdict_rests_on(page, done, wait_for):
    go(page, "Jobs")
    page.get_by_role("link", name="manipulated.mp4").first.click()
    page.get_by_role("heading", name="Where in the recording").wait_for()
    for picture in (".spectrogram", ".gallery img"):
        seen = f"document.querySelector('{picture}')?.naturalWidth > 50"
        wait_for(lambda seen=seen: page.evaluate(seen))
    assert "stretches in which the mouth is still: 1" in page.locator("main").inner_text()

    estimate = page.locator(".estimate strong")
    at_even = estimate.inner_text()
    page.locator("#prior").fill("1")
    assert int(estimate.inner_text().split()[0]) < int(at_even.split()[0])
    with page.expect_download() as download:
        page.get_by_role("button", name="Download JSON").click()
    assert json.loads(Path(download.value.path()).read_text())["job_id"] == done


def test_the_numbers_on_the_page_are_those_of_sqs(page, system, done, wait_for):
    sqs = aws.client(system.settings, "sqs")
    url = queue_url(system.settings, system.settings.dead_letter_queue("aggregate"))
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    for name in ("uploads", "audio", "video", "aggregate"):
        card = page.locator(f"[data-queue={name}]")
        now = row(system, name)
        for figure, value in (("visible", now.visible), ("in_flight", now.in_flight)):
            shown = card.locator(f"[data-figure={figure}]")
            wait_for(lambda shown=shown, value=value: shown.inner_text() == str(value), 20)
        if now.dead:
            card.get_by_text(f"dead letters: {now.dead}").wait_for()


def known(store, job_id):
    """Return the job, or nothing while intake has not made it yet."""
    try:
        return store.get(job_id)
    except UnknownJob:
        return None


def test_pause_stops_consumption_and_a_dead_letter_sent_back_completes(
    page, system, done, wait_for
):
    toggle(page, "audio", "Pause")
    time.sleep(6)  # polls under way end, and flags are read again
    job_id = upload(page, SAMPLES[0])
    store = JobStore(system.settings)
    wait_for(lambda: (job := known(store, job_id)) and job.video)
    time.sleep(3)
    held = row(system, "audio").visible  # one, or two where S3 told of the upload twice
    assert held >= 1
    assert store.get(job_id).audio is None

    kill_letters(system, held)
    go(page, "Dead letters")
    page.get_by_role("link", name="Audio").click()
    page.get_by_text("audio.analyze failed at every attempt").first.click()
    assert job_id in page.locator("details[open]").inner_text()
    page.get_by_role("button", name="Send all back").click()
    page.get_by_text("No dead letters here.").wait_for()
    assert (row(system, "audio").visible, row(system, "audio").dead) == (held, 0)

    toggle(page, "audio", "Resume")
    wait_for(lambda: store.get(job_id).verdict)
    actions = [entry["action"] for entry in get(page.url.split("#")[0] + "api/audit").json()]
    assert actions[:4] == ["resume", "redrive", "upload", "pause"]


def kill_letters(system, count):
    """Do what SQS does after the last receive."""
    sqs = aws.client(system.settings, "sqs")
    live = queue_url(system.settings, system.settings.queue("audio"))
    dead = queue_url(system.settings, system.settings.dead_letter_queue("audio"))
    for _ in range(count):
        (message,) = sqs.receive_message(QueueUrl=live)["Messages"]
        sqs.send_message(QueueUrl=dead, MessageBody=message["Body"])
        sqs.delete_message(QueueUrl=live, ReceiptHandle=message["ReceiptHandle"])


def test_a_job_is_repeated_and_erased_by_hand(page, system, done, console, wait_for):
    store = JobStore(system.settings)
    before = store.get(done).verdict.decided_at
    page.goto(f"{console}/#/jobs/{done}")
    page.get_by_role("button", name="Analyse again").click()
    page.get_by_role("dialog").get_by_role("button", name="Analyse again").click()
    wait_for(lambda: (verdict := store.get(done).verdict) and verdict.decided_at > before)

    page.get_by_text("What to do:").wait_for()
    page.get_by_role("button", name="Erase").click()
    erase = page.get_by_role("dialog").get_by_role("button", name="Erase")
    assert erase.is_disabled()
    page.locator("#typed").fill(done[:8])
    erase.click()
    page.wait_for_url("**/#/jobs")
    left = aws.client(system.settings, "s3").list_objects_v2(
        Bucket=system.settings.reports_bucket, Prefix=f"reports/{done}/"
    )
    assert left["KeyCount"] == 0
    assert get(f"{console}/api/jobs/{done}").json()["code"] == "unknown_job"
    receipt = get(f"{console}/api/receipts/{done}").json()
    assert receipt["job_id"] == done
    again = {"json": {"confirm": done[:8]}, "headers": CHANGE}
    assert post(f"{console}/api/jobs/{done}/erase", **again).json() == receipt
    assert get(f"{console}/api/receipts/{'0' * 32}").status_code == 404


def test_an_address_with_half_an_id_is_told_in_words(page, console):
    page.goto(f"{console}/#/jobs/dbde5bfb")

    page.get_by_role("alert").get_by_text("There is no such job.").wait_for()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_fits_and_is_accessible(browser, console, done, width, language, theme):
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415  # slow

    context = browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=True)
    context.add_init_script(
        f"localStorage.setItem('guardian-language', '{language}');"
        f"localStorage.setItem('guardian-theme', '{theme}')"
    )
    page = context.new_page()
    for name in ("queues", "jobs", f"jobs/{done}", "submit", "letters/aggregate"):
        page.goto(f"{console}/#/{name}")
        page.locator("main h1").wait_for()
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.locator("html").get_attribute("lang") == language
        found = Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in serious] == [], name
    context.close()


@pytest.fixture(scope="module")
def empty(endpoint_url, tmp_path_factory):
    """An installation without workers."""
    directory = tmp_path_factory.mktemp("empty")
    settings = Settings(
        prefix="empty", endpoint_url=endpoint_url, work_dir=directory, state_dir=directory
    )
    provision(settings)
    return settings


def test_without_its_queues_it_says_so(endpoint_url):
    environment = {
        **os.environ,
        "GUARDIAN_ENDPOINT_URL": endpoint_url,
        "GUARDIAN_PREFIX": "nowhere",
    }
    command = [GUARDIAN, "console", "--port", "0"]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert "nowhere-audio" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_interface_keeps_its_own_schema(empty, explore, serve, monkeypatch):
    monkeypatch.setattr(letters, "_WAIT_S", 0)  # the stand-in is one server: nothing to wait for
    with serve(app.create(empty, stored_page.render)) as client:
        assert explore(str(client.base_url).rstrip("/"), skip="/api/live") == []


def test_a_reader_sees_everything_and_changes_nothing(empty, browser, start_console):
    tokens = {"GUARDIAN_API_TOKEN": "operate", "GUARDIAN_API_READ_TOKEN": "look"}
    with start_console(empty, **tokens) as url:
        reader = {"Authorization": "Bearer look", **CHANGE}
        operator = {"Authorization": "Bearer operate", **CHANGE}
        pause = f"{url}/api/queues/audio/pause"
        assert get(f"{url}/api/jobs").status_code == 401
        assert get(f"{url}/api/jobs", headers=reader).status_code == 200
        assert post(pause, headers=reader).status_code == 403
        assert post(pause, headers={**operator, "X-Guardian-Console": ""}).status_code == 200
        del operator["X-Guardian-Console"]
        assert post(pause, headers=operator).status_code == 403

        page = browser.new_page()
        page.goto(url)
        page.get_by_label(re.compile("token", re.IGNORECASE)).fill("look")
        page.get_by_role("button", name=re.compile("log in", re.IGNORECASE)).click()
        page.locator("[data-queue=audio]").wait_for()
        assert page.locator("[data-queue=audio] button").is_disabled()
        page.close()


def test_the_commands_say_the_same_as_the_page(empty):
    environment = {
        **os.environ,
        "GUARDIAN_ENDPOINT_URL": empty.endpoint_url,
        "GUARDIAN_PREFIX": empty.prefix,
    }

    def guardian(*arguments, stdin=None):
        done = subprocess.run(
            [GUARDIAN, *arguments, "--json"],
            env=environment,
            capture_output=True,
            text=True,
            input=stdin,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    sqs = aws.client(empty, "sqs")
    dead = queue_url(empty, empty.dead_letter_queue("video"))
    for body in ("one", "two"):
        sqs.send_message(QueueUrl=dead, MessageBody=body)
    listed = guardian("dlq", "list", "video")["letters"]
    assert [letter["body"] for letter in listed] == ["one", "two"]

    guardian("dlq", "redrive", "video", "--id", listed[0]["message_id"])
    guardian("dlq", "discard", "video", "--yes")
    rows = guardian("queues")["queues"]
    video = next(one for one in rows if one["name"].endswith("-video"))
    assert (video["visible"], video["dead"]) == (1, 0)
    assert guardian("pause", "video") == {"queue": "video", "paused": True}
    assert guardian("resume", "video") == {"queue": "video", "paused": False}
