"""The message about a verdict or a rejection, its signature, and its ways out."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import json
import socket
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any
from urllib.parse import SplitResult, urlsplit

from shared import aws
from shared.errors import ServiceUnavailable, SettingsInvalid
from shared.records import SCHEMA_VERSION, Job, Verdict
from shared.settings import Settings

#: How long a receiver may take to answer.
TIMEOUT_S = 10.0
#: What EventBridge calls each type of message.
DETAIL_TYPES = {
    "verdict": "Silver Guardian verdict",
    "rejection": "Silver Guardian rejection",
}
_FINE = range(200, 300)


def targets(settings: Settings) -> dict[str, Callable[[Job], None]]:
    """Return who is to be told, by name; empty where nobody is.

    Raises:
        SettingsInvalid: The webhook's address is not usable, or its secret is missing.
    """
    found: dict[str, Callable[[Job], None]] = {}
    if settings.webhook_url:
        url = _checked(settings.webhook_url)
        if settings.webhook_secret is None or not settings.webhook_secret.get_secret_value():
            raise SettingsInvalid("GUARDIAN_WEBHOOK_URL needs GUARDIAN_WEBHOOK_SECRET.")
        secret = settings.webhook_secret.get_secret_value()
        found["webhook"] = lambda job: _post(url, secret, job)
    if settings.event_bus:
        found["event_bus"] = lambda job: _put_event(settings, job)
    return found


def message(job: Job) -> dict[str, Any]:
    """Return what others are told of a job that was decided or rejected.

    `delivery_id` is the same however often the message comes; another verdict on the same upload
    has another.
    """
    if job.verdict:
        kind, about = "verdict", _of_verdict(job, job.verdict)
        happened = about[kind]["decided_at"]
    else:
        kind, about = "rejection", _of_rejection(job)
        happened = about[kind]["rejected_at"]
    return {
        "schema_version": SCHEMA_VERSION,
        "type": kind,
        "delivery_id": hashlib.sha256(f"{job.job_id} {happened}".encode()).hexdigest()[:32],
        "job_id": job.job_id,
        "bucket": job.bucket,
        "key": job.key,
        "version_id": job.version_id,
        "sha256": job.sha256,
        **about,
    }


def _of_verdict(job: Job, verdict: Verdict) -> dict[str, Any]:
    told = {
        *("label", "probability", "interval", "llr", "prior", "modalities_used"),
        *("manipulated_part", "next_step", "decided_at"),
    }
    return {
        "verdict": verdict.model_dump(mode="json", include=told),
        "supersedes": len(job.superseded),
        "report_key": job.report_key,
    }


def _of_rejection(job: Job) -> dict[str, Any]:
    assert job.error is not None
    rejected_at = job.model_dump(mode="json", include={"created_at"})["created_at"]
    return {"rejection": job.error.model_dump() | {"rejected_at": rejected_at}}


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return `v1=` and the hex HMAC-SHA256 of timestamp, a full stop and the body."""
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1={signed.hexdigest()}"


def _checked(address: str) -> SplitResult:
    """Return the parts of an address that may be told: https, or anything on this machine."""
    try:
        url = urlsplit(address)
        _ = url.port
        f"{url.path}{url.query}".encode("ascii")
        (url.hostname or "").encode("idna")
    except ValueError as error:
        raise SettingsInvalid(f"GUARDIAN_WEBHOOK_URL is no address: {error}.") from error
    if not url.hostname or url.scheme not in ("http", "https") or url.username or url.password:
        raise SettingsInvalid(f"GUARDIAN_WEBHOOK_URL is no http(s) address: {address!r}.")
    try:
        local = ipaddress.ip_address(url.hostname).is_loopback
    except ValueError:
        local = url.hostname == "localhost"
    if url.scheme == "http" and not local:
        raise SettingsInvalid(
            "GUARDIAN_WEBHOOK_URL must begin with https://: verdicts are private."
        )
    return url


def _cut(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError):
        if connection.sock:
            connection.sock.shutdown(socket.SHUT_RDWR)


def _post(url: SplitResult, secret: str, job: Job) -> None:
    """Post the message; redirects are not followed, and an answer is read no further than needed.

    A receiver that answers byte by byte has no more time than one that does not answer.

    Raises:
        ServiceUnavailable: The receiver could not be reached, or answered otherwise than 2xx.
    """
    told = message(job)
    body = json.dumps(told, ensure_ascii=False).encode()
    timestamp = str(int(time.time()))
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=TIMEOUT_S)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"silver-guardian/{version('silver-guardian')}",
        "X-Guardian-Delivery": told["delivery_id"],
        "X-Guardian-Timestamp": timestamp,
        "X-Guardian-Signature": signature(secret, timestamp, body),
    }
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    deadline = threading.Timer(TIMEOUT_S, _cut, (connection,))
    deadline.daemon = True
    deadline.start()
    try:
        connection.request("POST", path, body, headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServiceUnavailable(f"It could not be reached: {error}.") from error
    finally:
        deadline.cancel()
        connection.close()
    if status not in _FINE:
        raise ServiceUnavailable(f"It answered {status}.")


def _put_event(settings: Settings, job: Job) -> None:
    """Put the message on the bus.

    Raises:
        ServiceUnavailable: EventBridge could not be reached, or did not take it.
        SetupError: There is no such bus, or no right to it.
    """
    told = message(job)
    entry = {
        "Source": settings.prefix,
        "DetailType": DETAIL_TYPES[told["type"]],
        "Detail": json.dumps(told, ensure_ascii=False),
        "EventBusName": settings.event_bus,
    }
    with aws.translated("putting an event"):
        answer = aws.client(settings, "events").put_events(Entries=[entry])
    if answer.get("FailedEntryCount"):
        cause = answer["Entries"][0].get("ErrorMessage", "no reason given")
        raise ServiceUnavailable(f"EventBridge did not take it: {cause}.")
