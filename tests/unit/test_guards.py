"""What stands before every app: nobody is let in by size, slowness, name or missing token."""

import asyncio
import json
import logging
import socket
import time

import pytest
from fastapi import Depends, Request, UploadFile

from shared import guards, web
from shared.errors import Busy, SettingsInvalid
from shared.settings import Settings
from shared.telemetry import configure_logging
from workers import analyzer_api, stored_page
from workers.console import actions, live
from workers.console import app as console
from workers.console.board import Board

pytestmark = pytest.mark.alone  # slow clients are told from fast ones by the clock
TOKENS = {"right": "operator", "look": "reader"}


def small_app(gate, room=lambda: None):
    """Every guard around two operations that say what they read."""
    settings = Settings(max_upload_bytes=2_000_000)
    app = web.new_app(settings, gate, "t", "t", form_path="/file", form_room=room)

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.post("/file")
    async def file(file: UploadFile) -> int:
        return len(await file.read())

    return app


@pytest.fixture
def client(serve):
    with serve(small_app(guards.Gate({}))) as client:
        yield client


@pytest.fixture
def closed(serve):
    with serve(small_app(guards.Gate(TOKENS))) as client:
        yield client


def talk(client, sent, wait_s=0.0, then=b""):
    """Send bytes as they are; return the answer's first line and seconds until the end."""
    address = (client.base_url.host, client.base_url.port)
    started = time.monotonic()
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(sent)
        time.sleep(wait_s)
        try:
            connection.sendall(then)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        except ConnectionError:
            answer = b""
    return answer.partition(b"\r\n")[0].decode(), time.monotonic() - started


def test_only_a_form_may_be_as_large_as_a_recording(client):
    large = b"\0" * 1_500_000

    stored = client.post("/file", files={"file": large})
    refused = (
        client.post("/echo", content=large),
        client.post("/echo", files={"file": large}),
        client.post("/file", data={"file": "0" * len(large)}),
    )

    assert stored.json() == len(large)
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_body_without_a_length_is_counted(client):
    answer = client.post("/echo", content=(b"\0" * 65_536 for _ in range(30)))

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_headers_that_do_not_end_are_not_waited_for(client, monkeypatch):
    monkeypatch.setattr(guards, "HEADERS_S", 0.4)

    for beginning in (b"", b"GET /docs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "):
        status, seconds = talk(client, beginning)
        assert status == ""
        assert seconds < 5


def test_the_second_request_of_a_connection_is_watched_too(client, monkeypatch):
    monkeypatch.setattr(guards, "HEADERS_S", 0.4)
    whole = b"GET /docs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    status, seconds = talk(client, whole + b"GET /docs HTTP/1.1\r\nX-A: ")

    assert status == "HTTP/1.1 200 OK"
    assert seconds < 5


def test_a_body_that_trickles_is_given_up(client, monkeypatch):
    monkeypatch.setattr(guards, "BODY_S", 0.4)
    monkeypatch.setattr(guards, "HEADERS_S", 0.4)
    head = b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000\r\n\r\n"

    status, seconds = talk(client, head + b"some")

    assert status == "HTTP/1.1 408 Request Timeout"
    assert seconds < 5


def test_a_form_is_not_read_while_too_many_wait(serve, monkeypatch):
    monkeypatch.setattr(guards, "HEADERS_S", 0.4)
    kind = b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1500000\r\n\r\n"

    def full():
        raise Busy

    with serve(small_app(guards.Gate({}), full)) as client:
        status, seconds = talk(client, b"POST /file HTTP/1.1\r\nHost: 127.0.0.1\r\n" + kind)
        assert client.post("/echo", content=b"x").json() == 1

    assert status == "HTTP/1.1 429 Too Many Requests"
    assert seconds < 5


def test_a_body_that_flows_is_read_to_its_end(client, monkeypatch):
    monkeypatch.setattr(guards, "BODY_S", 0.2)
    monkeypatch.setattr(guards, "SLOWEST_BYTES_S", 1000)

    def flowing():
        for _ in range(8):
            yield b"\0" * 1000
            time.sleep(0.1)

    assert client.post("/echo", content=flowing()).json() == 8000


def test_a_change_without_a_token_is_refused_before_its_body_is_read(closed, monkeypatch):
    monkeypatch.setattr(guards, "HEADERS_S", 0.4)
    head = b"POST /file HTTP/1.1\r\nHost: a\r\nContent-Length: 1500000\r\n\r\n"

    status, seconds = talk(closed, head)

    assert status == "HTTP/1.1 401 Unauthorized"
    assert seconds < 5


def test_the_refusal_is_a_problem_with_all_headers(closed):
    answer = closed.post("/echo", content=b"x")

    assert answer.json()["code"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert closed.post("/echo", headers={"Authorization": "Bearer right"}).json() == 0


def test_one_wrong_token_too_many_has_a_code_of_its_own(closed):
    wrong, right = ({"Authorization": f"Bearer {token}"} for token in ("wrong", "right"))
    for _ in range(guards.MAX_FAILURES):
        assert closed.post("/echo", headers=wrong).status_code == 401
    answer = closed.post("/echo", headers=wrong)

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_attempts")
    assert answer.headers["retry-after"] == str(int(guards.LOCKED_S))
    assert closed.post("/echo", headers=right).status_code == 200


def test_without_a_token_a_page_elsewhere_cannot_pose_as_this_machine(client, closed):
    rebound = {"Host": "evil.example:8080"}

    assert client.get("/docs", headers=rebound).status_code == 421
    assert client.get("/docs").status_code == 200
    assert client.get("/docs", headers={"Host": "localhost:8080"}).status_code == 200
    assert closed.get("/docs", headers=rebound).status_code == 200  # a token is asked for anyway


def test_nobody_dodges_the_lock_out_by_claiming_an_address(monkeypatch):
    asked = []
    monkeypatch.setattr(web.Server, "run", lambda server: asked.append(server.config))
    web.serve(small_app(guards.Gate(TOKENS)), Settings(), 0)

    assert [config.proxy_headers for config in asked] == [False]


def test_no_other_origin_is_ever_allowed(client):
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}

    for answer in (
        client.options("/echo", headers=asked),
        client.post("/echo", headers=asked),
        client.get("/docs", headers=asked),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_page_that_listens_does_not_keep_the_console_from_ending(serve):
    board = Board(Settings())
    app = web.new_app(Settings(), guards.Gate({}), "t", "t")
    app.state.leave = board.leave
    live.add(app, board, web.guarded(guards.Gate({})))

    with serve(app) as client, client.stream("GET", "/live") as answer:
        news = answer.iter_text()
        assert next(news) == ": still here\n\n"
        client.server.should_exit = True
        started = time.monotonic()
        assert list(news) == []
        assert time.monotonic() - started < 5


class NoEngine:
    """An engine that no request reaches."""

    async def begin(self):
        await asyncio.sleep(0)

    def check_room(self):
        pass

    def check_alive(self):
        pass

    def close(self):
        pass


PROBES = {"/health", "/ready", "/metrics", "/version"}


def apps():
    settings = Settings(api_token="right", api_read_token="look", endpoint_url="http://127.0.0.1:1")
    return {
        "console": console.create(settings, stored_page.render),
        "analyzer": analyzer_api.create(settings, "audio", NoEngine()),
    }


@pytest.mark.parametrize("name", ["console", "analyzer"])
def test_every_operation_that_changes_or_tells_something_needs_a_token(name):
    app = apps()[name]

    async def statuses():
        import httpx  # noqa: PLC0415  # slow

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
            for path, operations in app.openapi()["paths"].items():
                if path in PROBES:
                    assert set(operations) == {"get"}
                    continue
                filled = path.format(job_id="0" * 32, queue="audio", name="0.jpg", language="en")
                for method in operations:
                    answer = await client.request(method, filled, json={})
                    yield method, path, answer.status_code

    async def collect():
        return [row async for row in statuses()]

    found = asyncio.run(collect())

    assert len(found) > 4
    assert [row for row in found if row[2] != 401] == []


@pytest.mark.parametrize("name", ["console", "analyzer"])
def test_the_document_names_all_that_a_client_has_to_send_and_may_get(name):
    document = apps()[name].openapi()

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needed = operation.get("security", [])
            assert needed == ([] if path in PROBES else [{"HTTPBearer": []}]), path
            asked = {one["name"] for one in operation.get("parameters", [])}
            changes = method == "post" and path.startswith("/api/")
            assert (actions.INTENT_HEADER in asked) == changes, path
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == [web.PROBLEM_TYPE], path
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


async def test_no_change_is_made_without_the_header_that_forms_cannot_send():
    import httpx  # noqa: PLC0415  # slow

    app = apps()["console"]
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": "Bearer right"}
    async with httpx.AsyncClient(transport=transport, base_url="http://a", headers=headers) as one:
        for path, operations in app.openapi()["paths"].items():
            if "post" in operations:
                answer = await one.post(path.format(job_id="0" * 32, queue="audio"), json={})
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


def test_a_console_of_a_real_installation_needs_a_token_even_on_loopback():
    with pytest.raises(SettingsInvalid, match="GUARDIAN_API_TOKEN"):
        web.check_exposure(Settings(), changes_state=True)
    web.check_exposure(Settings(endpoint_url="http://127.0.0.1:1"), changes_state=True)
    web.check_exposure(Settings(api_token="right"), changes_state=True)
    web.check_exposure(Settings())


async def test_a_browser_asks_whether_each_file_of_the_page_is_still_the_right_one():
    import httpx  # noqa: PLC0415  # slow

    transport = httpx.ASGITransport(apps()["console"])
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        first = await client.get("/static/api.js")
        known = {"If-None-Match": first.headers["etag"]}
        again = await client.get("/static/api.js", headers=known)

    assert (first.status_code, again.status_code) == (200, 304)
    for answer in (first, again):
        assert answer.headers["cache-control"] == "no-cache"


def test_no_token_is_ever_logged(serve, capsys):
    secret = "tok" + "en-of-the-operator"
    settings = Settings(api_token=secret, api_read_token=secret[::-1])
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    configure_logging("json", "debug")
    try:
        gate = guards.Gate({secret: "operator"})
        app = web.new_app(settings, gate, "t", "t")

        @app.get("/fails", dependencies=[Depends(web.guarded(gate))])
        def fails() -> None:
            raise RuntimeError(repr(settings))

        with serve(app) as client:
            client.headers["Connection"] = "close"
            for token in (secret, secret + "x"):
                failed = client.get("/fails", headers={"Authorization": f"Bearer {token}"})
                assert failed.headers["content-type"] == web.PROBLEM_TYPE
                assert failed.headers["x-content-type-options"] == "nosniff"
                client.post("/fails", headers={"Authorization": f"Bearer {token}"}, content=b"x")
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)

    logged = capsys.readouterr().err
    assert json.loads(logged.splitlines()[-1])["event"]
    assert "request_failed" in logged
    assert secret not in logged
    assert secret[::-1] not in logged
