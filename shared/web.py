"""What every HTTP face has in common: problems, headers, limits, tokens, probes and /docs."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import structlog
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.exceptions import HTTPException as StarletteHTTPException

from shared import aws
from shared.errors import GuardianError, SettingsInvalid
from shared.guards import (
    MAX_CONNECTIONS,
    POLICY,
    BodyLimit,
    EarlyGate,
    Gate,
    Headers,
    PatientProtocol,
    bearer,
    browser_headers,
)
from shared.problems import (
    PROBLEM_TYPE,
    RETRY_AFTER_S,
    of_error,
    of_http,
    problem,
    problems,
)
from shared.settings import Settings

__all__ = [
    "PROBLEM_TYPE",
    "RETRY_AFTER_S",
    "Door",
    "Gate",
    "check_exposure",
    "guarded",
    "new_app",
    "problems",
    "serve",
]

_SHUTDOWN_S = 20
_log = structlog.get_logger()


class _App(FastAPI):
    """An app whose document names the one type that problems are answered as."""

    def openapi(self) -> dict[str, Any]:
        """Return the document; FastAPI adds a type of its own wherever a model is named."""
        document = super().openapi()
        operations = [way for ways in document["paths"].values() for way in ways.values()]
        for response in (one for way in operations for one in way["responses"].values()):
            if PROBLEM_TYPE in response.get("content", {}):
                response["content"] = {PROBLEM_TYPE: response["content"][PROBLEM_TYPE]}
        return document


def new_app(
    settings: Settings,
    gate: Gate,
    title: str,
    description: str,
    *,
    form_path: str | None = None,
    form_room: Callable[[], None] = lambda: None,
    check_alive: Callable[[], None] = lambda: None,
    **options: Any,
) -> FastAPI:
    """Make an app with problems, headers, limits, /health, /metrics and /docs.

    `gate` stands before every change. Bodies are short, but at `form_path`, which takes a form with
    a file unless `form_room` raises. /health fails where `check_alive` raises.
    """
    app = _App(
        title=title,
        description=description,
        docs_url=None,
        redoc_url=None,
        responses=problems(400, 401, 403, 422),
        **options,
    )
    app.add_exception_handler(GuardianError, _on_error)
    app.add_exception_handler(StarletteHTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    headers = browser_headers(_connect(settings))
    app.add_exception_handler(Exception, _on_unknown(headers))
    app.add_middleware(
        BodyLimit,
        form_bytes=settings.max_upload_bytes,
        form_path=form_path,
        form_room=form_room,
    )
    app.add_middleware(EarlyGate, gate=gate)
    app.add_middleware(Headers, headers=headers)
    _serve_probes(app, check_alive)
    _serve_docs(app)
    app.state.leave = lambda: None
    return app


def _connect(settings: Settings) -> str:
    """Hosts that a page may talk to: itself, and S3 for presigned uploads."""
    return f"'self' {aws.bucket_origin(settings, settings.uploads_bucket)}"


async def _on_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, GuardianError)
    return of_error(error)


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return of_http(error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
    )
    sent = request.headers.get("content-type", "none")
    if "json" not in sent.lower() and any(item["loc"] == ("body",) for item in error.errors()):
        detail = f"The body has to be JSON, with the content type application/json, not {sent}."
    return problem(422, "invalid_request", "The request is not valid.", detail)


def _on_unknown(headers: dict[str, str]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answer what nobody foresaw; that is done outside all else, so it gets its headers here."""

    async def answer(request: Request, error: Exception) -> Response:
        _log.error("request_failed", path=request.url.path, exc_info=error)
        made = problem(500, "internal_error", "Something went wrong here; the log says what.")
        made.headers.update(headers)
        return made

    return answer


def _serve_probes(app: FastAPI, check_alive: Callable[[], None]) -> None:
    @app.head("/health", include_in_schema=False)
    @app.get("/health", responses=problems(503))
    async def alive() -> dict[str, str]:
        """Tell that the process is alive, and that no work in it hangs."""
        check_alive()
        return {"status": "alive"}

    @app.head("/metrics", include_in_schema=False)
    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Give the Prometheus metrics of this process."""
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


_DOCS = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css"></head><body><div id="ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script>
</body></html>"""
_DOCS_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true});'


def _serve_docs(app: FastAPI) -> None:
    """Serve Swagger UI from files of the package fastapi-offline: no outside host is asked."""
    assets = Path(str(resources.files("fastapi_offline"))) / "static"
    app.mount("/docs/assets", StaticFiles(directory=assets), name="docs-assets")
    looser = POLICY.format(connect="'self'").replace(
        "style-src 'self'", "style-src 'self' 'unsafe-inline'"
    )

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(
            _DOCS.format(title=app.title), headers={"content-security-policy": looser}
        )

    @app.get("/docs/start.js", include_in_schema=False)
    def start() -> Response:
        return Response(_DOCS_START, media_type="text/javascript")


# --- tokens -------------------------------------------------------------------------------------

#: A dependency that lets in whoever may, and returns the role.
Door = Callable[..., Awaitable[str]]
#: What the document calls the token, so that pages and clients that are made of it ask for one.
_Token = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]


def guarded(gate: Gate, only: str | None = None) -> Door:
    """Make a dependency that lets nobody in without a token, or without the role `only`."""

    async def check(request: Request) -> str:
        role = gate.role(
            request.client.host if request.client else "",
            bearer(request.headers.get("authorization", "")),
        )
        if only not in (None, role):
            raise HTTPException(403, f"Only an {only} may do this; the token is a {role}'s.")
        request.state.role = role
        return role

    async def check_token(request: Request, _: _Token) -> str:
        return await check(request)

    return check if gate.open else check_token


def check_exposure(settings: Settings, *, changes_state: bool = False) -> None:
    """Refuse to serve without a token what more than this machine's user could misuse.

    Args:
        settings: Address and token.
        changes_state: Whether requests change the installation; without a token they may do so
            only in local mode, where that is a stand-in for AWS.

    Raises:
        SettingsInvalid: The address is reachable from outside, or the installation is a real
            one, and there is no token.
    """
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = settings.host == "localhost"
    if not loopback and not settings.api_token:
        raise SettingsInvalid(
            f"GUARDIAN_HOST is {settings.host}, which others can reach; set GUARDIAN_API_TOKEN."
        )
    if changes_state and not settings.endpoint_url and not settings.api_token:
        raise SettingsInvalid("This would act on AWS itself; set GUARDIAN_API_TOKEN.")


class Server(uvicorn.Server):
    """Tells the app when it is asked to leave: an answer that has no end would be waited for."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let those go who wait for news, then wait for the requests in hand."""
        assert isinstance(self.config.app, FastAPI)
        self.config.app.state.leave()
        await super().shutdown(sockets)


def serve(app: FastAPI, settings: Settings, port: int) -> None:
    """Serve until SIGTERM; requests in hand are finished first."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # anybody could claim an address by them, and dodge the lock-out
        timeout_graceful_shutdown=_SHUTDOWN_S,
        http=PatientProtocol,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
    )
    with suppress(KeyboardInterrupt):  # which uvicorn raises once it has ended for it
        Server(config).run()
