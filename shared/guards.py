"""What stands before every app over HTTP: limits of size and time, tokens, and headers."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections.abc import Callable

import h11
from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from shared.errors import GuardianError, TooLarge
from shared.problems import of_error, of_http

#: Largest body that is not a form with a file, in bytes: requests here are short.
JSON_BYTES = 1024 * 1024
#: Room for the frame of a multipart form around a file of the largest size, in bytes.
FORM_BYTES = 64 * 1024
#: Seconds for the headers of a request, and for a body to begin to flow.
HEADERS_S = 10.0
BODY_S = 30.0
#: Slowest flow of a body after that, in bytes a second; the largest file may take 2 h 15 min.
SLOWEST_BYTES_S = 64 * 1024
#: Connections at once; one more is answered with 503.
MAX_CONNECTIONS = 500
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: Content-Security-Policy of all pages; `connect` is filled in.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "style-src 'self'; script-src 'self'; connect-src {connect}; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'; object-src 'none'"
)


class BodyLimit:
    """Refuses a body that is too large or too slow, before it is read where its length is told.

    A form with a file is not read either while `form_room` raises, because too many wait.
    """

    def __init__(
        self,
        app: ASGIApp,
        form_bytes: int,
        form_path: str | None = None,
        form_room: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap an app; `form_bytes` is the largest file of a form, and `form_path` takes one."""
        self._app = app
        self._form_room = form_room
        self._form_bytes = form_bytes + FORM_BYTES
        self._form_path = form_path
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives, and how fast."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        # of the kinds of forms, only this one is not kept in memory
        multipart = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        takes_file = multipart and scope["path"] == self._form_path
        limit = self._form_bytes if takes_file else JSON_BYTES
        told = headers.get(b"content-length", b"0")
        try:
            if told.isdigit() and int(told) > limit:
                raise TooLarge(_too_large(limit))
            if takes_file:
                self._form_room()
        except GuardianError as error:
            await of_error(error)(scope, receive, send)
            return
        read, complete, started = 0, False, self._clock()

        async def counted() -> Message:
            nonlocal read, complete
            if complete:  # what comes now is only the end of the connection
                return await receive()
            due = started + BODY_S + read / SLOWEST_BYTES_S
            try:
                message = await asyncio.wait_for(receive(), max(0.0, due - self._clock()))
            except TimeoutError as error:
                raise HTTPException(408, "The body came too slowly.") from error
            read += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if read > limit:
                raise HTTPException(413, _too_large(limit))
            return message

        await self._app(scope, counted, send)


def _too_large(limit: int) -> str:
    return f"The body has more than the {limit} bytes that are read here."


#: Failed log-ins of one address before it has to wait, and for how long, in seconds.
MAX_FAILURES = 10
LOCKED_S = 60.0


class Gate:
    """Checks bearer tokens, and turns away those who guess.

    A right token always passes: whoever shares an address with one who guesses is not shut out.
    """

    def __init__(self, tokens: dict[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        """Take roles by token; without any token everybody is an operator."""
        self._tokens = tokens
        self._clock = clock
        self._failures: dict[str, list[float]] = {}

    @property
    def open(self) -> bool:
        """Whether there is no token, so that everybody may pass."""
        return not self._tokens

    def role(self, address: str, token: str | None) -> str:
        """Return the role that a token gives.

        Raises:
            HTTPException: 401 for a wrong token, 429 for one more after too many of them.
        """
        if not self._tokens:
            return "operator"
        found = [
            role
            for known, role in self._tokens.items()
            if hmac.compare_digest(known.encode(), (token or "").encode())
        ]
        if found:
            return found[0]
        if token:
            self._count(address)
        raise HTTPException(401, "A valid token is needed.", {"WWW-Authenticate": "Bearer"})

    def _count(self, address: str) -> None:
        """Remember a wrong token, unless there have been too many."""
        now = self._clock()
        recent = [at for at in self._failures.get(address, []) if now - at < LOCKED_S]
        if len(recent) >= MAX_FAILURES:
            wait = {"Retry-After": str(int(LOCKED_S))}
            raise HTTPException(429, "Too many wrong tokens; wait a minute.", wait)
        self._failures = {
            who: times for who, times in self._failures.items() if now - times[-1] < LOCKED_S
        }
        self._failures[address] = [*recent, now]


class EarlyGate:
    """Looks at the token of a change before a byte of its body is read.

    Where no token is set, only addresses of this machine are answered: a page elsewhere whose name
    is suddenly that of 127.0.0.1 (DNS rebinding) still says its own name in the header `Host`.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        """Wrap an app."""
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let pass, or answer with the problem."""
        if scope["type"] == "http":
            headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
            try:
                self._check(scope, headers)
            except HTTPException as error:
                await of_http(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: dict[str, bytes]) -> None:
        if self._gate.open:
            host = re.sub(r":\d+$", "", headers.get("host", b"").decode("latin-1"))
            if host not in _LOOPBACK_NAMES:
                raise HTTPException(421, "Without a token only this machine is answered.")
        elif scope["method"] not in _SAFE_METHODS:
            address = scope["client"][0] if scope.get("client") else ""
            self._gate.role(address, bearer(headers.get("authorization", b"").decode("latin-1")))


def browser_headers(connect: str) -> dict[str, str]:
    """Headers that keep a browser from doing more than our pages need.

    Args:
        connect: The hosts that pages may talk to.
    """
    return {
        "content-security-policy": POLICY.format(connect=connect),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
    }


class Headers:
    """Adds headers to every answer."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        """Wrap an app."""
        self._app = app
        self._headers = headers

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


def bearer(authorization: str) -> str | None:
    """Return the bearer token of a header."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


class PatientProtocol(H11Protocol):
    """HTTP/1.1 whose patience ends, with headers that do not come, and bodies that nobody wants.

    uvicorn limits only the time between requests; without this, clients that send a byte a minute
    hold their connections for ever. What is left of a body that was refused is read for a while,
    so that the client gets to read why.
    """

    _timer: asyncio.TimerHandle | None = None
    _phase = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Look at what is awaited after this piece."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Look at what is awaited after the answer."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._wait("")
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self._wait("headers")
        elif self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE:
            self._wait("refused body")
        else:
            self._wait("")

    def _wait(self, phase: str) -> None:
        """Begin a phase, whose time is limited; to go on with it changes nothing."""
        if phase == self._phase:
            return
        if self._timer:
            self._timer.cancel()
        self._phase = phase
        self._timer = self.loop.call_later(HEADERS_S, self.transport.close) if phase else None
