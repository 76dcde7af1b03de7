"""The console is ready once it has something to show, and stays so while AWS has a bad time."""

from datetime import UTC, datetime

import httpx
import pytest

from shared.settings import Settings
from workers.console import app
from workers.console.board import Board, Overview

pytestmark = pytest.mark.unit


async def ready(console, method="GET", path="/ready"):
    transport = httpx.ASGITransport(console)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return (await client.request(method, path)).status_code


async def test_a_console_stays_in_reach_while_the_queues_cannot_be_sampled(monkeypatch):
    board = Board(Settings(endpoint_url="http://127.0.0.1:1"))
    monkeypatch.setattr(app, "Board", lambda _: board)
    console = app.create(board.settings, lambda *_: "")
    before = await ready(console)

    board.overview = Overview(
        at=datetime.now(UTC), queues=[], arrivals_per_min=0, mean_media_s=None, workers=[]
    )
    board._taken_s = board.clock() - 3600

    assert board.current().stale_s >= 3600
    assert (before, await ready(console)) == (503, 200)


async def test_a_load_balancer_may_ask_for_the_status_alone():
    console = app.create(Settings(endpoint_url="http://127.0.0.1:1"), lambda *_: "")
    asked = [await ready(console, "HEAD", path) for path in ("/health", "/ready", "/metrics")]

    assert asked == [200, 503, 200]
