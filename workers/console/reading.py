"""What the console shows: reads only, open to both roles."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel

from shared import audit, erasure, feedback, letters, objects, rows, web
from shared.errors import NotDecided, NotReady, ObjectGone
from shared.jobs import JobStore
from shared.records import Job, JobStatus, Label
from shared.settings import Settings
from workers import phrases
from workers.console import feed, spectrogram
from workers.console.board import Board, Overview

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="The job's id.")]
Limit = Annotated[int, Query(ge=1, le=200)]
Before = Annotated[datetime | None, Query(description="Page on from here.")]
QueueName = Literal["uploads", "audio", "video", "aggregate"]
#: Renders the page of a decided job in a language.
Render = Callable[[Settings, str, phrases.Language], str]
_PICTURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PN": "image/png"}
#: Reports bring their own style; they may run nothing and reach nobody.
_REPORT_CSP = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"


class Me(BaseModel):
    """Who is asking."""

    role: str
    prefix: str
    endpoint_url: str | None
    max_upload_bytes: int


class Letters(BaseModel):
    """Dead letters of one queue, how many are of each cause, and whether there may be more."""

    letters: list[letters.Letter]
    causes: dict[str, int]
    cut: bool


def add(api: APIRouter, settings: Settings, board: Board, read: web.Door, render: Render) -> None:
    """Add the reading half of the API."""
    door = [Depends(read)]

    @api.get("/me", dependencies=door)
    async def me(request: Request) -> Me:
        """Tell who is asking, and what is being watched."""
        return Me(
            role=request.state.role,
            prefix=settings.prefix,
            endpoint_url=settings.endpoint_url,
            max_upload_bytes=settings.max_upload_bytes,
        )

    @api.get("/phrases", dependencies=door)
    def words_for_codes() -> dict[str, phrases.Text]:
        """Give the phrases for detectors' codes, by code and language."""
        return phrases.table()

    @api.get("/overview", dependencies=door)
    def overview() -> Overview:
        """Give the queues, rates and workers as last sampled."""
        sampled = board.current()
        if sampled is None:
            raise NotReady("The queues have not been sampled yet.")
        return sampled

    @api.get("/audit", dependencies=door)
    def audit_log(limit: Limit = 50, before: Before = None) -> list[audit.Entry]:
        """List what people did by hand, newest first; page on from the last one's time."""
        return audit.newest(settings, limit, feed.in_utc(before))

    @api.get("/letters/{queue}", dependencies=door)
    def dead_letters(queue: QueueName) -> Letters:
        """List dead letters of a queue, oldest first."""
        found = letters.read(settings, queue)
        causes, cut = letters.by_cause(found), letters.cut(found)
        return Letters(letters=found, causes=causes, cut=cut)

    _add_jobs(api, settings, board, read)
    _add_report(api, settings, read, render)


def _add_jobs(api: APIRouter, settings: Settings, board: Board, read: web.Door) -> None:
    door = [Depends(read)]

    @api.get("/jobs", dependencies=door)
    def jobs(
        limit: Limit = 50,
        before: Before = None,
        after: Annotated[datetime | None, Query(description="Nothing older than this.")] = None,
        status: JobStatus | None = None,
        label: Label | None = None,
        text: Annotated[str, Query(max_length=200)] = "",
    ) -> feed.Page:
        """List jobs, newest first."""
        wanted = feed.Wanted(status=status, label=label, text=text, after=feed.in_utc(after))
        start = feed.in_utc(before)
        cursor = rows.iso(start) if start else None
        return feed.page(JobStore(settings), board.tail, wanted, limit, cursor)

    @api.get("/jobs/{job_id}", dependencies=door)
    def job(job_id: JobId) -> Job:
        """Give one job with all that is known about it."""
        return JobStore(settings).get(job_id)

    @api.get("/jobs/{job_id}/feedback", dependencies=door)
    def feedback_on(job_id: JobId) -> feedback.Feedback | None:
        """Give what a job turned out to be, or null where nobody said so."""
        return feedback.of(settings, job_id)

    @api.get("/jobs/{job_id}/evidence/{name}", dependencies=door, response_class=Response)
    def evidence(job_id: JobId, name: Annotated[str, Path(max_length=200)]) -> Response:
        """Give one picture behind a score."""
        found = JobStore(settings).get(job_id)
        keys = {ref.name: ref.key for half in found.halves for ref in half.evidence}
        key = keys.get(name)
        if key is None:
            raise ObjectGone("There is no such picture.")
        body = objects.get_report(settings, key)
        return Response(body, media_type=_PICTURES.get(body[:3], "application/octet-stream"))

    @api.get("/jobs/{job_id}/spectrogram", dependencies=door, response_class=Response)
    def spectrum(job_id: JobId) -> Response:
        """Draw the sound of a recording, low tones below, as a picture 1000 wide."""
        found = JobStore(settings).get(job_id)
        if not found.status.final or found.audio is None:
            raise NotDecided("The recording has not been analysed.")
        picture = spectrogram.of_job(settings, found)
        return Response(picture, media_type="image/jpeg")


def _add_report(api: APIRouter, settings: Settings, read: web.Door, render: Render) -> None:
    door = [Depends(read)]

    @api.get("/jobs/{job_id}/report/report.json", dependencies=door, response_class=Response)
    def report(job_id: JobId) -> Response:
        """Give the report as the document that was stored with the verdict."""
        body = objects.get_report_of(settings, JobStore(settings).get(job_id))
        return _download(body, f"{job_id[:12]}-report.json", "application/json")

    @api.get(
        "/jobs/{job_id}/report/report.{language}.html", dependencies=door, response_class=Response
    )
    def page(job_id: JobId, language: phrases.Language) -> Response:
        """Render the stored report as a page in one file."""
        body = render(settings, job_id, language).encode()
        return _download(body, f"{job_id[:12]}-report.{language}.html", "text/html; charset=utf-8")

    @api.get("/receipts/{job_id}", dependencies=door, response_class=Response)
    def receipt(job_id: JobId) -> Response:
        """Give the receipt of an erased job as it was stored."""
        body = erasure.receipt_of(settings, job_id)
        return _download(body, f"{job_id[:12]}-receipt.json", "application/json")


def _download(body: bytes, name: str, media_type: str) -> Response:
    headers = {
        "Content-Security-Policy": _REPORT_CSP,
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return Response(body, media_type=media_type, headers=headers)
