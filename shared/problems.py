"""Errors as problems in answers over HTTP (RFC 9457), with our stable reason codes."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

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

PROBLEM_TYPE = "application/problem+json"
#: Seconds after which a client may ask again.
RETRY_AFTER_S = 2
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
_CODES = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    421: "wrong_host",
    429: "too_many_attempts",
}


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


def of_http(error: HTTPException) -> JSONResponse:
    """Answer with the problem that an error of the framework is."""
    code = _CODES.get(error.status_code, "invalid_request")
    answer = problem(error.status_code, code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer
