"""Live news for the page: server-sent events, one stream a page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from shared import web
from workers.console.board import Board

#: A comment is sent at least this often, so that proxies keep the stream open.
_KEEP_ALIVE_S = 15.0
_STILL_HERE = ": still here\n\n"
#: Figures that are older are sent again, with their age.
_STALE_S = 10.0


def add(api: APIRouter, board: Board, read: web.Door) -> None:
    """Add the stream of events."""

    @api.get(
        "/live",
        dependencies=[Depends(read)],
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def events(once: bool = False) -> StreamingResponse:
        """Stream `overview` and `jobs` events; `once` ends after the first of them."""
        stream = _events(board, once=once)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _events(board: Board, *, once: bool) -> AsyncIterator[str]:
    """Yield an overview at each sample, and the jobs that changed since the last one."""
    seen: dict[str, str] = {}
    version = -1
    while not board.left:
        board.tail.watch()
        overview = board.current()
        if overview is not None and board.version != version:
            version = board.version
            rows = {row.job_id: row.model_dump(mode="json") for row in board.recent}
            stamps = {job_id: json.dumps(row) for job_id, row in rows.items()}
            changed = [row for job_id, row in rows.items() if seen.get(job_id) != stamps[job_id]]
            seen = stamps
            yield _event("overview", overview.model_dump(mode="json"))
            if changed:
                yield _event("jobs", changed)
        elif overview is not None and overview.stale_s > _STALE_S:
            yield _event("overview", overview.model_dump(mode="json"))
        else:
            yield _STILL_HERE
        if once:
            return
        await board.wait(_KEEP_ALIVE_S)


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
