"""The console: a JSON API over jobs, queues and dead letters, and the pages that use it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from shared import aws, queues, web
from shared.errors import NotReady
from shared.settings import Settings
from workers import probe
from workers.console import actions, live, reading
from workers.console.board import Board

PORT = 8080
_STATIC = Path(__file__).with_name("static")
_ASK = {"Cache-Control": "no-cache"}


def create(settings: Settings, render: reading.Render) -> FastAPI:
    """Make the console's app; it samples the queues while it runs.

    Args:
        settings: The installation.
        render: Makes the page of a decided job.
    """
    board = Board(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sampler = asyncio.create_task(board.run())
        leaving = threading.Event()
        threading.Thread(target=probe.run, args=(settings, leaving), daemon=True).start()
        yield
        leaving.set()
        sampler.cancel()
        with suppress(asyncio.CancelledError):
            await sampler

    gate = _gate(settings)
    app = web.new_app(
        settings,
        gate,
        "Silver Guardian console",
        "Queues, jobs, uploads and dead letters.",
        version=version("silver-guardian"),
        lifespan=lifespan,
    )
    read, operate = web.guarded(gate), web.guarded(gate, only="operator")
    api = APIRouter(prefix="/api", responses=web.problems(404, 429, 503))
    reading.add(api, settings, board, read, render)
    live.add(api, board, read)
    actions.add(api, settings, board, operate)
    app.include_router(api)
    app.state.leave = board.leave
    _add_readiness(app, board)
    _add_pages(app)
    return app


def _gate(settings: Settings) -> web.Gate:
    """Return the gate that knows those who may read and those who may act."""
    tokens = {}
    if settings.api_read_token:
        tokens[settings.api_read_token.get_secret_value()] = "reader"
    if settings.api_token:
        tokens[settings.api_token.get_secret_value()] = "operator"
    return web.Gate(tokens)


def _add_readiness(app: FastAPI, board: Board) -> None:
    @app.head("/ready", include_in_schema=False)
    @app.get("/ready", responses=web.problems(503))
    async def ready() -> dict[str, str]:
        """Tell whether the queues could be sampled; pages say how old their figures are."""
        if board.current() is None:
            raise NotReady("The queues have not been sampled yet.")
        return {"status": "ready"}


class _Asked(StaticFiles):
    """Files that a browser asks about each time, so that it never mixes those of two releases."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Answer with the file, or that the browser's copy is still the right one."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(_ASK)
        return response


def _add_pages(app: FastAPI) -> None:
    app.mount("/static", _Asked(directory=_STATIC), name="static")

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(_STATIC / "index.html", headers=_ASK)

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> RedirectResponse:
        return RedirectResponse("/static/icon.svg")


def run(settings: Settings, render: reading.Render, port: int | None = None) -> None:
    """Serve the console until SIGTERM.

    Raises:
        SettingsInvalid: Others could reach it, or it would act on AWS itself, without a token.
        SetupError: A queue does not exist.
        ServiceUnavailable: SQS could not be asked for a minute.
    """
    web.check_exposure(settings, changes_state=True)
    aws.patiently(lambda: queues.configure(settings))  # to send what people repeat
    web.serve(create(settings, render), settings, PORT if port is None else port)
