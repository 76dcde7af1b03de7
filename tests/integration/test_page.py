"""The console's page alone, in a real browser: the test answers for the API, slowly or wrongly."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from workers import console

pytestmark = pytest.mark.integration
STATIC = Path(console.__file__).with_name("static")
URL = "http://127.0.0.1:9"
#: The stream of events is the test's: it may say something, or nothing.
LIVE = """
const ask = window.fetch;
window.streams = [];
window.fetch = (url, options) => url === "/api/live"
  ? Promise.resolve(new Response(new ReadableStream({ start: (stream) => {
      window.streams.push(stream);
      options.signal?.addEventListener("abort", () => stream.error(options.signal.reason));
    } })))
  : ask(url, options);
"""


class Visit:
    """A page, and what the API says to it: by path, a value or a function of the route."""

    def __init__(self, page):
        self.page = page
        self.asked = []
        self.answers = {
            "/api/me": {"role": "operator", "max_upload_bytes": 500 * 1024 * 1024},
            "/api/phrases": {},
            "/api/audit": [],
            "/api/jobs": jobs(),
        }

    def answer(self, route):
        path = urlsplit(route.request.url).path
        self.asked.append(f"{route.request.method} {path}")
        if path not in self.answers:
            route.fulfill(path=STATIC / (path.removeprefix("/static/").strip("/") or "index.html"))
            return
        answer = self.answers[path]
        if callable(answer):
            answer(route)
        else:
            route.fulfill(json=answer)

    def open(self, name):
        self.page.goto(f"{URL}/#/{name}")
        self.page.locator("main h1").wait_for()

    def say(self, name, data):
        """Send an event to the page."""
        event = f"event: {name}\ndata: {json.dumps(data)}\n\n"
        self.page.evaluate("(it) => streams.at(-1).enqueue(new TextEncoder().encode(it))", event)


def jobs(*keys, following=None):
    rows = [
        {
            "job_id": f"{number:032x}",
            "key": key,
            "status": "queued",
            "label": None,
            "probability": None,
            "error": None,
            "size_bytes": 1,
            "created_at": "2026-11-23T00:00:00Z",
        }
        for number, key in enumerate(keys)
    ]
    return {"jobs": rows, "next": following, "age_s": 0, "looked_at": len(rows)}


def refused(route, code="service_unavailable", status=503):
    route.fulfill(status=status, json={"code": code, "title": "English", "status": status})


@pytest.fixture
def opened(browser):
    """Open the page in a language, with its clock at hand."""
    contexts = []

    def open_in(language="en-GB"):
        contexts.append(browser.new_context(locale=language))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.clock.install()
        page.add_init_script(LIVE)
        visit = Visit(page)
        page.route("**/*", visit.answer)
        return visit

    yield open_in
    for context in contexts:
        context.close()


@pytest.fixture
def visit(opened):
    return opened()


def test_a_console_that_says_nothing_any_more_is_not_called_live(visit):
    page = visit.page
    visit.open("queues")
    page.get_by_text("live", exact=True).wait_for()

    page.clock.fast_forward(30_000)
    visit.say("nothing", {})
    page.clock.fast_forward(30_000)
    assert page.locator("#live").inner_text() == "live"
    page.clock.fast_forward(11_000)
    page.get_by_text("offline").wait_for()
    page.wait_for_function("streams.length === 2")
    page.get_by_text("live", exact=True).wait_for()


def test_a_broken_connection_is_told_in_the_reader_s_language(opened):
    visit = opened("ko-KR")
    visit.open("queues")
    visit.answers["/api/letters/audio"] = lambda route: route.abort()
    visit.open("letters/audio")

    visit.page.get_by_text("콘솔에 연결할 수 없습니다").wait_for()


def test_what_people_did_is_told_in_the_reader_s_language(opened):
    visit = opened("ko-KR")
    act = {"at": "2026-11-23T00:00:00Z", "who": "cli:kim", "detail": "all", "failed": "busy"}
    visit.answers["/api/audit"] = [{**act, "action": "redrive", "target": "audio"}]
    visit.open("queues")

    visit.page.get_by_role("cell", name="음성 전체", exact=True).wait_for()
    assert visit.page.locator("tbody tr").inner_text().split("\t")[2] == "다시 보냄 완료되지 않음"


def test_older_acts_are_shown_below_the_latest(visit):
    def answer(route):
        before = parse_qs(urlsplit(route.request.url).query).get("before", ["2026-11-23T00:20:00Z"])
        minutes = range(int(before[0][14:16]) - 1, -1, -1)
        acts = [{"at": f"2026-11-23T00:{n:02}:00Z", "target": f"n{n}"} for n in minutes][:15]
        route.fulfill(json=[{"who": "a", "action": "pause", "detail": "", **one} for one in acts])

    visit.answers["/api/audit"] = answer
    visit.open("queues")
    older = visit.page.get_by_role("button", name="Older")
    older.click()
    visit.page.get_by_role("cell", name="n0", exact=True).wait_for()

    targets = visit.page.locator("tbody td:last-child").all_inner_texts()
    assert targets == [f"n{n}" for n in range(19, -1, -1)]
    assert not older.is_visible()


def test_the_list_of_jobs_is_that_of_its_filters(visit):
    page = visit.page
    held = []

    def answer(route):
        if "text=slow" in route.request.url:
            held.append(route)
        elif "status=failed" in route.request.url or "before=2" in route.request.url:
            refused(route)
        else:
            key = "uploads/a/quick" if "text=quick" in route.request.url else "uploads/a/any"
            route.fulfill(json=jobs(key, following="2"))

    visit.answers["/api/jobs"] = answer
    visit.open("jobs")
    page.get_by_role("link", name="any").wait_for()
    times = page.get_by_label("Received").locator("option").all_inner_texts()
    assert times == ["all", "last 60 min", "last 24 h", "last 7 days"]

    search = page.get_by_role("searchbox")
    search.fill("slow")
    page.clock.run_for(300)
    search.fill("quick")
    page.clock.run_for(300)
    page.get_by_role("link", name="quick").wait_for()
    held[0].fulfill(json=jobs("uploads/a/late"))
    page.clock.run_for(300)
    assert page.locator("a.file").all_inner_texts() == ["quick"]

    page.get_by_role("button", name="Older").click()
    page.get_by_text("A service cannot be reached").wait_for()
    assert page.get_by_role("button", name="Newer").is_disabled()
    visit.say("jobs", [])
    page.get_by_role("link", name="quick").wait_for()

    page.get_by_label("State").select_option("failed")
    page.get_by_text("A service cannot be reached").wait_for()
    assert page.locator("a.file").count() == 0


NAMES = {
    "uploads/a/plain.mp4": "plain.mp4",
    "uploads/a/ ": "uploads/a/ ",
    "uploads/a/": "uploads/a/",
    "uploads/a/\u3164": "uploads/a/\u3164",
    "uploads/a/fdp\u202e4pm.exe": "fdp\ufffd4pm.exe",
    "uploads/a/\u05d0.mp4": "\u05d0.mp4",
}


HINT = """() => {
  const hint = getComputedStyle(document.querySelector("input[type=search]"), "::placeholder");
  return [hint.opacity, hint.color, getComputedStyle(document.querySelector("th")).color];
}"""


def test_any_name_of_a_file_can_be_seen_and_acts_on_nothing(visit):
    visit.answers["/api/jobs"] = jobs(*NAMES)
    visit.open("jobs")

    names = visit.page.locator("a.file bdi")
    assert names.evaluate_all("all => all.map((one) => one.textContent)") == [*NAMES.values()]
    assert all(width > 4 for width in names.evaluate_all("all => all.map((e) => e.offsetWidth)"))
    visit.page.emulate_media(color_scheme="dark")
    opacity, hint, heading = visit.page.evaluate(HINT)
    assert (opacity, hint) == ("1", heading)  # which is told apart well enough on dark, too


def decided(visit, key, **more):
    """Answer for a decided job; its path in the API."""
    (job,) = jobs(key)["jobs"]
    path = f"/api/jobs/{job['job_id']}"
    verdict = {
        "label": "inconclusive",
        "probability": None,
        "reasons": [],
        "next_step": "Wait.",
        "decided_at": "2026-11-23T00:00:01Z",
        "model": {"name": "fusion", "version": "1", "sha256": "0"},
    }
    parts = {"audio": None, "video": None, "media": None, "bucket": "b", "sha256": None}
    seen = {"updated_at": "2026-11-23T00:00:01Z", "status": "complete", "verdict": verdict}
    visit.answers[path] = {**job, **parts, **seen, **more}
    visit.answers[f"{path}/report/report.json"] = lambda route: refused(route, "object_gone", 404)
    visit.answers[f"{path}/feedback"] = lambda route: route.fulfill(body="null")
    return path


def test_a_job_that_was_done_again_shows_what_was_said_before(visit):
    model = {"name": "voice", "version": "7", "sha256": "0"}
    before = {"label": "suspicious", "probability": 0.6, "decided_at": "2026-11-22T00:00:00Z"}
    first = decided(visit, "uploads/a/first")  # without halves, and final
    visit.open(first.removeprefix("/api/"))
    text = visit.page.locator("main").inner_text()
    assert ("Took in all" in text, "Earlier verdicts" in text) == (True, False)
    assert ("Not examined." in text, "yet" in text) == (True, False)

    again = decided(visit, "uploads/b", fresh=True, superseded=[{**before, "models": [model]}])
    visit.page.reload()
    visit.open(again.removeprefix("/api/"))
    section = visit.page.locator("section", has_text="Earlier verdicts on this file")
    assert "some signs 60 %" in " ".join(section.inner_text().split())
    assert "voice 7" in section.inner_text()
    assert "Took in all" not in visit.page.locator("main").inner_text()


def test_a_job_says_which_part_looks_manipulated_when_and_whose_face(visit):
    spans = [(0, 3599), (3600, 3725), (3724.2, 3724.6)]
    persons = [
        {
            "person": n,
            "start_s": start,
            "end_s": end,
            "frames": 9 - n,
            "llr": n,
            "probability": 0.3 + n / 10,
        }
        for n, (start, end) in enumerate(spans)
    ]
    picture = {"name": "a.jpg", "kind": "face", "start_s": 3724, "probability": 0.9, "person": 1}
    video = {
        "outcome": "scored",
        "probability": 0.9,
        "llr": None,
        "coverage": {"analysed_s": 3725, "speech_s": None, "dropped": {}},
        "timeline": [
            {"start_s": 3600, "end_s": 3700, "probability": 0.6},
            {"start_s": 3700, "end_s": 3725, "probability": 0.9},
        ],
        "findings": [],
        "persons": persons,
        "evidence": [picture],
    }
    path = decided(visit, "uploads/a/long.mp4", video=video)
    text = {"headline": "Some signs", "part": "The signs are in the picture.", "reasons": []}
    visit.answers[f"{path}/report/report.json"] = {
        "text": {"en": {**text, "next_step": "Wait.", "limits": []}}
    }
    visit.answers[f"{path}/evidence/a.jpg"] = lambda route: refused(route, "object_gone", 404)
    visit.open(path.removeprefix("/api/"))

    visit.page.locator(".verdict").get_by_text("The signs are in the picture.").wait_for()
    faces = visit.page.locator("section", has_text="The faces, one by one").locator("li")
    assert faces.all_inner_texts() == [
        "0:00–59:59 Face 1, 30 %",
        "1:00:00–1:02:05 Face 2, 40 %",
        "1:02:04 Face 3, 50 %",
    ]
    assert visit.page.locator("figcaption").inner_text() == "Face 2\n1:02:04 · 90 %"
    marked = visit.page.locator(".timeline li").inner_text()
    assert marked == "1:00:00–1:02:05 Picture, up to 90 %"


def test_a_sound_recording_is_told_in_one_language_and_not_as_a_video(opened):
    visit = opened("ko-KR")
    finding = {"type": "synthetic_speech", "start_s": 1, "end_s": 5, "detail": "2 windows"}
    audio = {
        "outcome": "scored",
        "probability": 0.9,
        "llr": 2.2,
        "llr_interval": None,
        "coverage": {"analysed_s": 8, "speech_s": 7, "dropped": {}},
        "timeline": [{"start_s": 0, "end_s": 8, "probability": 0.9}],
        "findings": [{**finding, "ruled_out": []}],
    }
    path = decided(visit, "uploads/a/voice.m4a", audio=audio)
    job = visit.answers[path]
    visit.answers[path] = {**job, "verdict": {**job["verdict"], "probability": 0.9, "prior": 0.5}}
    visit.open(path.removeprefix("/api/"))

    text = visit.page.locator("main").inner_text()
    assert "이런 파일의 50 %가 조작된 것이라면" in text
    assert "영상" not in text
    assert "windows" not in text


def test_what_a_job_turned_out_to_be_is_said_on_its_page(visit):
    path = decided(visit, "uploads/a/first")
    told = []

    def answer(route):
        if route.request.method == "POST":
            told.append({**route.request.post_data_json, "given_at": "2026-11-23T00:00:00Z"})
        route.fulfill(json=told[-1]) if told else route.fulfill(body="null")

    visit.answers[f"{path}/feedback"] = answer
    visit.open(path.removeprefix("/api/"))
    section = visit.page.locator("section", has_text="What it turned out to be")
    assert section.get_by_role("status").inner_text() == ""
    section.get_by_role("button", name="It is genuine").click()
    section.get_by_text("Noted as genuine").wait_for()

    visit.page.reload()
    section.get_by_text("Noted as genuine").wait_for()
    visit.answers["/api/me"] = {"role": "reader", "max_upload_bytes": 1}
    visit.page.reload()
    section.get_by_text("Noted as genuine").wait_for()
    assert all(button.is_disabled() for button in section.get_by_role("button").all())


def test_of_an_erased_job_the_receipt_is_shown(visit):
    path = decided(visit, "uploads/a/first")
    job_id = path.rsplit("/", 1)[-1]
    visit.answers[path] = lambda route: refused(route, "unknown_job", 404)
    receipt = f"/api/receipts/{job_id}"
    erased = {"job_id": job_id, "erased_by": "cli:kim", "erased_at": "2026-11-23T00:00:00Z"}
    visit.answers[receipt] = erased
    act = {"at": "2026-11-23T00:00:00Z", "who": "cli:kim", "action": "erase", "target": job_id}
    visit.answers["/api/audit"] = [{**act, "detail": ""}]
    visit.open("queues")
    visit.page.get_by_role("link", name=job_id).click()

    visit.page.get_by_text("Erased by cli:kim").wait_for()
    with visit.page.expect_download() as saved:
        visit.page.get_by_role("button", name="Download the receipt").click()
    assert json.loads(Path(saved.value.path()).read_text()) == erased

    visit.answers[receipt] = lambda route: refused(route, "object_gone", 404)
    visit.page.reload()
    visit.page.get_by_text("has not been taken in yet").wait_for()
    for _ in range(3):
        visit.page.clock.run_for(1_500)
        visit.page.wait_for_timeout(50)
    assert visit.asked.count(f"GET {receipt}") == 3, "shown, saved, and asked for once"


def test_a_report_that_is_gone_is_asked_for_a_few_times(visit):
    path = decided(visit, "uploads/a/fdp\u202e4pm.exe")
    report = f"{path}/report/report.json"
    visit.open(path.removeprefix("/api/"))
    assert "s3://b/uploads/a/fdp\ufffd4pm.exe" in visit.page.locator("main").inner_text()

    for _ in range(8):
        visit.page.clock.run_for(2_000)
        visit.page.wait_for_timeout(50)
    assert visit.asked.count(f"GET {report}") == 5


def file(name, content=b"abc"):
    return {"name": name, "mimeType": "video/mp4", "buffer": content}


def take(visit, *files):
    visit.page.set_input_files("#file", [*files])


def wait_until(page, condition):
    for _ in range(500):
        if condition():
            return
        page.wait_for_timeout(10)
    raise AssertionError("waited in vain")


def hold(visit, path):
    """Keep a request waiting; return those that wait."""
    held = []
    visit.answers[path] = held.append
    return held


PARTS = {
    "key": "uploads/a/b",
    "upload_id": "1",
    "part_bytes": 2,
    "urls": [f"{URL}/p1", f"{URL}/p2"],
}


ASKS = "!dispatchEvent(new Event('beforeunload', { cancelable: true }))"


def test_uploads_go_on_while_other_pages_are_looked_at(visit):
    page = visit.page
    visit.answers |= {"/api/uploads": PARTS, "/api/uploads/abort": {}}
    parts = hold(visit, "/p1")
    visit.open("submit")
    page.get_by_text("up to 500 MB").wait_for()
    take(visit, file("one.mp4"), file("two.mp4"))
    page.wait_for_function("document.querySelectorAll('.upload').length === 2")
    wait_until(page, lambda: len(parts) == 2)

    page.select_option("#language", "ko")
    page.get_by_role("button", name="취소").first.wait_for()
    page.evaluate("location.hash = '#/queues'")
    page.locator(".figures").wait_for(state="attached")
    page.evaluate("location.hash = '#/submit'")
    page.get_by_text("one.mp4").wait_for()
    assert page.locator(".upload").count() == 2
    assert page.evaluate(ASKS)
    for part in parts:
        part.abort()
    page.get_by_text("저장소에 연결할 수 없습니다").nth(1).wait_for()
    assert not page.evaluate(ASKS)


@pytest.mark.parametrize("at", ["/api/uploads", "/p1"])
def test_an_upload_is_cancelled_wherever_it_is(visit, at):
    page = visit.page
    visit.answers |= {"/api/uploads": PARTS, "/p1": {}, "/api/uploads/abort": {}}
    held = hold(visit, at)
    visit.open("submit")
    take(visit, file("one.mp4"))
    wait_until(page, lambda: held)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    if at == "/api/uploads":
        held[0].fulfill(json=PARTS)

    wait_until(page, lambda: "POST /api/uploads/abort" in visit.asked)
    assert "PUT /p2" not in visit.asked
    assert page.locator(".upload").inner_text().startswith("one.mp4")


def test_an_upload_that_is_being_closed_cannot_be_cancelled(visit):
    page = visit.page
    visit.answers |= {"/api/uploads": PARTS, "/p1": {}, "/p2": {}}
    held = hold(visit, "/api/uploads/complete")
    visit.open("submit")
    take(visit, file("empty.mp4", b""), file("one.mp4"))
    wait_until(page, lambda: held)

    page.get_by_text("The file is empty.").wait_for()
    assert page.get_by_role("button", name="Cancel").is_disabled()
    held[0].fulfill(json={"job_id": "0" * 32, "key": "uploads/a/b"})
    page.get_by_role("link", name="See the job").wait_for()


def overview(visible=0, paused=None, dead=0):
    card = {"queue": "audio", "name": "silver-guardian-audio", "visible": visible}
    card |= {"paused": paused, "dead": dead, "history": [{"ago_s": 0, "messages": visible}]}
    card |= dict.fromkeys(("in_flight", "delayed"), 0)
    card |= dict.fromkeys(("oldest_s", "done_per_min", "backlog_media_s", "eta_s"))
    figures = {"arrivals_per_min": 0, "mean_media_s": None, "probes": [], "stale_s": 0}
    return {"queues": [card], "workers": [], **figures}


def test_the_keyboard_keeps_its_place_on_the_queues(visit):
    page = visit.page
    visit.answers["/api/queues/audio/pause"] = {}
    visit.open("queues")
    visit.say("overview", overview())
    held = page.locator("[data-queue=audio] button:focus")
    page.get_by_role("button", name="Pause Audio").focus()

    for key in ("Escape", "Enter"):
        page.keyboard.press("Enter")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press(key)
        page.get_by_role("dialog").wait_for(state="detached")
        held.wait_for()
    visit.say("overview", overview(7))
    page.locator("[data-figure=visible]").get_by_text("7").wait_for()
    held.get_by_text("Pause").wait_for()

    visit.say("overview", overview(7, {"by": "somebody", "at": "2026-11-23T00:00:00Z"}, dead=2))
    page.get_by_text("dead letters: 2").wait_for()
    page.get_by_text("Paused by somebody").wait_for()
    held.get_by_text("Resume").wait_for()
