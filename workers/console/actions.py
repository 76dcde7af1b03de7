"""What operators do by hand in the console; each act is in the audit log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.params import Depends as DependsParam
from pydantic import BaseModel, Field

from shared import audit, erasure, feedback, flags, letters, repeat, web
from shared.errors import NotConfirmed
from shared.flags import Pause
from shared.records import Job
from shared.settings import Settings
from shared.telemetry import CONSOLE_ACTIONS, key_digest
from workers.console import uploads
from workers.console.board import Board
from workers.console.reading import JobId, QueueName

#: The header that every change needs: another site's form cannot send it.
INTENT_HEADER = "x-guardian-console"
#: How the document tells of it.
_INTENT: dict[str, Any] = {
    "parameters": [
        {
            "name": INTENT_HEADER,
            "in": "header",
            "required": True,
            "schema": {"type": "string"},
            "description": "Any value; another site's form cannot send it.",
        }
    ]
}


class Chosen(BaseModel):
    """Which dead letters are meant, and for a discard the queue's name, typed by hand."""

    message_id: str | None = Field(default=None, max_length=200)
    confirm: str = Field(default="", max_length=100)


class Erasure(BaseModel):
    """The first eight digits of the job's id, typed by hand."""

    confirm: str = Field(max_length=100)


class TurnedOut(BaseModel):
    """What a job turned out to be, and how that is known."""

    truth: feedback.Truth
    note: str = Field(default="", max_length=1000)


class Done(BaseModel):
    """What was done."""

    message_ids: list[str]


class _Log:
    """Writes down who does what; what is done in the block may know who it is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @contextmanager
    def __call__(
        self, request: Request, action: str, target: str, detail: str = ""
    ) -> Iterator[str]:
        who = f"console:{request.client.host if request.client else 'unknown'}"
        with audit.noted(self._settings, who, action, target, datetime.now(UTC), detail):
            yield who
        CONSOLE_ACTIONS.labels(action).inc()


def _meant(request: Request) -> None:
    if INTENT_HEADER not in request.headers:
        raise HTTPException(403, f"A change needs the header {INTENT_HEADER}.")


def add(api: APIRouter, settings: Settings, board: Board, operate: web.Door) -> None:
    """Add the acting half of the API."""
    log = _Log(settings)
    door = [Depends(operate), Depends(_meant)]
    _add_queues(api, settings, door, log)
    _add_jobs(api, settings, board, door, log)
    _add_uploads(api, settings, door, log)


def _add_queues(
    api: APIRouter, settings: Settings, door: Sequence[DependsParam], log: _Log
) -> None:
    @api.post("/queues/{queue}/pause", dependencies=door, openapi_extra=_INTENT)
    def pause(queue: QueueName, request: Request) -> Pause:
        """Ask the workers of a queue to take no new work; they finish what they have."""
        with log(request, "pause", queue) as who:
            return flags.pause(settings, queue, who, datetime.now(UTC))

    @api.post("/queues/{queue}/resume", dependencies=door, openapi_extra=_INTENT)
    def resume(queue: QueueName, request: Request) -> dict[str, str]:
        """Let the workers of a queue take work again."""
        with log(request, "resume", queue):
            flags.resume(settings, queue)
        return {"queue": queue}

    @api.post("/letters/{queue}/redrive", dependencies=door, openapi_extra=_INTENT)
    def redrive(queue: QueueName, chosen: Chosen, request: Request) -> Done:
        """Send dead letters back to their queue: all, or one."""
        with log(request, "redrive", queue, chosen.message_id or "all"):
            done = letters.redrive(settings, queue, chosen.message_id)
        return Done(message_ids=[letter.message_id for letter in done])

    @api.post(
        "/letters/{queue}/discard",
        dependencies=door,
        responses=web.problems(409),
        openapi_extra=_INTENT,
    )
    def discard(queue: QueueName, chosen: Chosen, request: Request) -> Done:
        """Remove dead letters for good; `confirm` repeats the queue's name."""
        if chosen.confirm != queue:
            raise NotConfirmed(f"To discard, confirm with the name of the queue: {queue}.")
        with log(request, "discard", queue, chosen.message_id or "all"):
            done = letters.discard(settings, queue, chosen.message_id)
        return Done(message_ids=[letter.message_id for letter in done])


def _add_jobs(
    api: APIRouter, settings: Settings, board: Board, door: Sequence[DependsParam], log: _Log
) -> None:
    @api.post(
        "/jobs/{job_id}/retry",
        dependencies=door,
        responses=web.problems(409),
        openapi_extra=_INTENT,
    )
    def retry(job_id: JobId, request: Request) -> Job:
        """Analyse a finished job again: its failed halves, or both where none failed."""
        with log(request, "retry", job_id):
            job = repeat.retry(settings, job_id)
        board.tail.expire(job_id)
        return job

    @api.post(
        "/jobs/{job_id}/feedback",
        dependencies=door,
        responses=web.problems(409),
        openapi_extra=_INTENT,
    )
    def tell(job_id: JobId, found: TurnedOut, request: Request) -> feedback.Feedback:
        """Note what a job turned out to be; the verdict stays, and a later word replaces it."""
        with log(request, "feedback", job_id, found.truth):
            return feedback.give(settings, job_id, found.truth, datetime.now(UTC), found.note)

    @api.post(
        "/jobs/{job_id}/erase",
        dependencies=door,
        responses=web.problems(409),
        openapi_extra=_INTENT,
    )
    def erase(job_id: JobId, asked: Erasure, request: Request) -> dict[str, Any]:
        """Remove a job and all that belongs to it, for a receipt; `confirm` is the id's start.

        For a job that is erased already, the answer is the receipt that there is.
        """
        if asked.confirm != job_id[:8]:
            raise NotConfirmed("To erase, confirm with the first eight digits of the id.")
        with log(request, "erase", job_id) as who:
            receipt = erasure.erase(settings, job_id, who, datetime.now(UTC))
        board.tail.expire(job_id)
        return receipt


def _add_uploads(
    api: APIRouter, settings: Settings, door: Sequence[DependsParam], log: _Log
) -> None:
    refusals = web.problems(413)

    @api.post("/uploads", dependencies=door, responses=refusals, openapi_extra=_INTENT)
    def begin(new: uploads.NewUpload, request: Request) -> uploads.Parts:
        """Open an upload; its parts go straight to S3, at the addresses in the answer."""
        key = uploads.new_key(new)
        named = f"key:{key_digest(key)}"  # the log outlives an erased file's name
        with log(request, "upload", named):
            return uploads.begin(settings, new, key)

    @api.post("/uploads/complete", dependencies=door, responses=refusals, openapi_extra=_INTENT)
    def complete(uploading: uploads.Uploading) -> uploads.Uploaded:
        """Close an upload whose parts have been put, and tell which job it becomes."""
        return uploads.complete(settings, uploading)

    @api.post("/uploads/abort", dependencies=door, status_code=204, openapi_extra=_INTENT)
    def abort(uploading: uploads.Uploading) -> None:
        """Throw away the parts of an upload."""
        uploads.abort(settings, uploading)
