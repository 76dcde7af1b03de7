"""What every HTTP face has in common: problems, headers, limits, tokens, probes and /docs."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import (
    Busy,
    EmptyObject,
    GuardianError,
    KeyOutsideUploads,
    NotConfirmed,
    NotMedia,
    NotRepeatable,
    ObjectChanged,
    ObjectGone,
    Permanent,
    Retryable,
    SettingsInvalid,
    SetupError,
    TooLarge,
    UnknownJob,
    UnknownLetter,
    WrongBucket,
)
from shared.settings import Settings

PROBLEM_TYPE = "application/problem+json"
#: Seconds after which a client may ask again.
RETRY_AFTER_S = 2
#: Room for the frame of a multipart form around a file of the largest size, in bytes.
_FORM_BYTES = 64 * 1024
_SHUTDOWN_S = 20
_STATUS: tuple[tuple[type[GuardianError], int], ...] = (
    (UnknownJob, 404),
    (UnknownLetter, 404),
    (ObjectGone, 404),
    (NotConfirmed, 409),
    (NotRepeatable, 409),
    (ObjectChanged, 409),
    (TooLarge, 413),
    (NotMedia, 415),
    (KeyOutsideUploads, 403),
    (WrongBucket, 403),
    (EmptyObject, 422),
    (Busy, 429),
    (Retryable, 503),
    (Permanent, 422),
    (SettingsInvalid, 404),
    (SetupError, 500),
)
_CSP = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "style-src 'self'; script-src 'self'; connect-src {connect}; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'; object-src 'none'"
)
_log = structlog.get_logger()


class Problem(BaseModel):
    """An error as RFC 9457 describes it, with our stable reason code."""

    type: str = Field(description="URN of the reason code.")
    title: str = Field(description="One sentence for people.")
    status: int = Field(description="The HTTP status.")
    code: str = Field(description="The stable reason code.")
    detail: str | None = Field(default=None, description="What is wrong in this very case.")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems of an operation for its OpenAPI document."""
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"model": Problem, "content": content, "description": "A problem."}
        for status in statuses
    }


def problem(status: int, code: str, title: str, detail: str | None = None) -> JSONResponse:
    """Answer with a problem."""
    body = Problem(
        type=f"urn:silver-guardian:{code}", title=title, status=status, code=code, detail=detail
    )
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else None
    return JSONResponse(
        body.model_dump(exclude_none=True), status, headers=headers, media_type=PROBLEM_TYPE
    )


def of_error(error: GuardianError) -> JSONResponse:
    """Answer with the problem that an error of ours is."""
    status = next((number for kind, number in _STATUS if isinstance(error, kind)), 500)
    return problem(status, error.code, error.message)


def new_app(settings: Settings, title: str, description: str, **options: Any) -> FastAPI:
    """Make an app with problems, headers, limits and /docs."""
    app = FastAPI(
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
    app.add_exception_handler(Exception, _on_unknown)
    app.add_middleware(BodyLimit, limit=settings.max_upload_bytes + _FORM_BYTES)
    app.add_middleware(Headers, connect=_connect(settings))
    _serve_docs(app)
    return app


def _connect(settings: Settings) -> str:
    """Hosts that a page may talk to: itself, and S3 for presigned uploads."""
    if settings.endpoint_url:
        return f"'self' {settings.endpoint_url}"
    return f"'self' https://{settings.uploads_bucket}.s3.{settings.region}.amazonaws.com"


async def _on_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, GuardianError)
    return of_error(error)


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    codes = {404: "not_found", 405: "method_not_allowed", 401: "unauthorized", 413: "too_large"}
    code = codes.get(error.status_code, "invalid_request")
    answer = problem(error.status_code, code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
    )
    return problem(422, "invalid_request", "The request is not valid.", detail)


async def _on_unknown(request: Request, error: Exception) -> Response:
    _log.error("request_failed", path=request.url.path, exc_info=error)
    return problem(500, "internal_error", "Something went wrong here; the log says what.")


class BodyLimit:
    """Refuses a body that is too large, before it is read where its length is told."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        """Wrap an app; `limit` is in bytes."""
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > self._limit:
            await of_error(TooLarge())(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise HTTPException(413, TooLarge().message)
            return message

        await self._app(scope, counted, send)


class Headers:
    """Adds the headers that keep a browser from doing more than our pages need."""

    def __init__(self, app: ASGIApp, connect: str) -> None:
        """Wrap an app; `connect` lists the hosts that pages may talk to."""
        self._app = app
        self._headers = {
            "content-security-policy": _CSP.format(connect=connect),
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": "camera=(), microphone=(), geolocation=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add each header that the answer does not set itself."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.encode(), value.encode())
                        for name, value in self._headers.items()
                        if name.encode() not in present
                    ),
                ]
            await send(message)

        await self._app(scope, receive, with_headers)


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
    looser = _CSP.format(connect="'self'").replace(
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

#: Failed log-ins of one address before it has to wait, and for how long, in seconds.
MAX_FAILURES = 10
LOCKED_S = 60.0


class Gate:
    """Checks bearer tokens, and slows down those who guess."""

    def __init__(self, tokens: dict[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        """Take roles by token; without any token everybody is an operator."""
        self._tokens = tokens
        self._clock = clock
        self._failures: dict[str, list[float]] = {}

    def role(self, address: str, token: str | None) -> str:
        """Return the role that a token gives.

        Raises:
            HTTPException: 401 for a wrong token, 429 after too many of them.
        """
        if not self._tokens:
            return "operator"
        now = self._clock()
        recent = [at for at in self._failures.get(address, []) if now - at < LOCKED_S]
        if len(recent) >= MAX_FAILURES:
            wait = {"Retry-After": str(int(LOCKED_S))}
            raise HTTPException(429, "Too many wrong tokens; wait a minute.", wait)
        found = [
            role
            for known, role in self._tokens.items()
            if hmac.compare_digest(known.encode(), (token or "").encode())
        ]
        if found:
            self._failures.pop(address, None)
            return found[0]
        if token:
            self._failures = {
                who: times for who, times in self._failures.items() if now - times[-1] < LOCKED_S
            }
            self._failures[address] = [*recent, now]
        raise HTTPException(401, "A valid token is needed.", {"WWW-Authenticate": "Bearer"})


def bearer(request: Request) -> str | None:
    """Return the bearer token of a request."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


#: A dependency that lets in whoever may, and returns the role.
Door = Callable[[Request], Awaitable[str]]


def guarded(gate: Gate, only: str | None = None) -> Door:
    """Make a dependency that lets nobody in without a token, or without the role `only`."""

    async def check(request: Request) -> str:
        role = gate.role(request.client.host if request.client else "", bearer(request))
        if only not in (None, role):
            raise HTTPException(403, f"Only an {only} may do this; the token is a {role}'s.")
        request.state.role = role
        return role

    return check


def check_exposure(settings: Settings) -> None:
    """Refuse to serve beyond loopback without a token.

    Raises:
        SettingsInvalid: The address is reachable from outside and there is no token.
    """
    try:
        loopback = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = settings.host == "localhost"
    if not loopback and settings.api_token is None:
        raise SettingsInvalid(
            f"GUARDIAN_HOST is {settings.host}, which others can reach; set GUARDIAN_API_TOKEN."
        )


def serve(app: FastAPI, settings: Settings, port: int) -> None:
    """Serve until SIGTERM; requests in hand are finished first."""
    uvicorn.run(
        app,
        host=settings.host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
