"""An analyzer over HTTP: the fleet's own pipeline in a process with its own loaded model."""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated, Literal

import structlog
from fastapi import Depends, FastAPI, File, Response, UploadFile
from fastapi.params import Depends as DependsParam
from pydantic import BaseModel, Field

from shared import objects, sandbox, web
from shared.errors import GuardianError, NotReady, UnknownJob, code_of
from shared.records import JobError, Modality
from shared.settings import Settings
from workers.analyzer import CONCURRENT, AnalyzeRequest, AnalyzeResponse, Engine, EveryNth

#: Where each analyzer listens unless told otherwise.
PORTS: dict[Modality, int] = {"audio": 8000, "video": 8001}
#: Finished jobs of this process that can still be asked for.
MAX_JOBS = 1000
#: Where a file may be sent in a form.
_FORM_PATH = "/analyze/upload"
#: Keys of one batch.
MAX_BATCH = 32
_log = structlog.get_logger()


class AnalyzerJob(BaseModel):
    """An analysis that was asked for, and how far it is."""

    job_id: str
    status: Literal["queued", "complete", "failed"]
    created_at: datetime
    response: AnalyzeResponse | None = None
    error: JobError | None = None


class BatchRequest(BaseModel):
    """Several objects of the uploads bucket."""

    items: list[AnalyzeRequest] = Field(min_length=1, max_length=MAX_BATCH)


class BatchItem(BaseModel):
    """The outcome of one item of a batch."""

    s3_key: str
    response: AnalyzeResponse | None = None
    error: JobError | None = None


class BatchResponse(BaseModel):
    """The outcomes in the order of the request."""

    items: list[BatchItem]


class JobBook:
    """Jobs of this process: the newest thousand and all that run, in memory, gone with it."""

    def __init__(self) -> None:
        """Begin empty."""
        self._jobs: OrderedDict[str, AnalyzerJob] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Awaitable[AnalyzeResponse]) -> AnalyzerJob:
        """Begin an analysis and return its job."""
        job = AnalyzerJob(job_id=uuid.uuid4().hex, status="queued", created_at=datetime.now(UTC))
        self._jobs[job.job_id] = job
        ended = [name for name, kept in self._jobs.items() if kept.status != "queued"]
        for name in ended[: max(0, len(self._jobs) - MAX_JOBS)]:
            del self._jobs[name]
        task = asyncio.create_task(self._finish(job, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def _finish(self, job: AnalyzerJob, work: Awaitable[AnalyzeResponse]) -> None:
        try:
            job.response = await work
            job.status = "complete"
        except Exception as error:  # noqa: BLE001  # whoever asks for the job must learn of it
            job.error = _told(error, job_id=job.job_id)
            job.status = "failed"

    def get(self, job_id: str) -> AnalyzerJob:
        """Return a job.

        Raises:
            UnknownJob: There is none, or it has been forgotten.
        """
        try:
            return self._jobs[job_id]
        except KeyError:
            raise UnknownJob(f"There is no job {job_id!r} here.") from None


def create(settings: Settings, modality: Modality, engine: Engine | None = None) -> FastAPI:
    """Make the app of one analyzer; the self-test runs as it starts."""
    engine = engine or Engine(settings, modality)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        test = asyncio.create_task(engine.begin())
        yield
        await test
        engine.close()

    token = settings.api_token.get_secret_value() if settings.api_token else None
    gate = web.Gate({token: "operator"} if token else {})
    app = web.new_app(
        settings,
        gate,
        f"Silver Guardian {modality} analyzer",
        "Synchronous and queued analysis of recordings. A higher score means more likely "
        "manipulated; a typed reason stands where nothing can be said.",
        form_path=_FORM_PATH,
        form_room=engine.check_room,
        check_alive=engine.check_alive,
        version=version("silver-guardian"),
        lifespan=lifespan,
    )
    _add_state(app, engine)
    _add_analysis(app, engine, JobBook(), Depends(web.guarded(gate)))
    return app


def _add_state(app: FastAPI, engine: Engine) -> None:
    @app.head("/ready", include_in_schema=False)
    @app.get("/ready", responses=web.problems(503))
    async def ready() -> dict[str, str | float | None]:
        """Tell whether the model is loaded and scores two known clips on the right side."""
        if not engine.ready:
            raise NotReady("The model is not loaded, or missed its known answers.")
        return {"status": "ready", **engine.test}

    @app.get("/version")
    def versions() -> dict[str, str | list[dict[str, str]]]:
        """Name the release, the model set and the models with their hashes."""
        entries = engine.registry.entries.values()
        models = [entry.ref.model_dump() for entry in entries if entry.modality == engine.modality]
        return {
            "version": version("silver-guardian"),
            "modality": engine.modality,
            "model_set": engine.registry.digest,
            "models": models,
        }


def _add_analysis(app: FastAPI, engine: Engine, book: JobBook, gate: DependsParam) -> None:
    refusals = web.problems(404, 409, 413, 415, 429, 500, 503)

    @app.post("/analyze", dependencies=[gate], responses=refusals)
    async def analyze(request: AnalyzeRequest) -> AnalyzeResponse:
        """Analyse one object of the uploads bucket and wait for the result."""
        return await engine.on_object(request)

    @app.post(
        _FORM_PATH,
        dependencies=[gate],
        responses=refusals,
        # a file goes to disk as it comes; text fields, of which none is used, are kept in memory
        form_limits={"max_files": 1, "max_fields": 8, "max_part_size": 8 * 1024},
    )
    async def analyze_upload(
        file: Annotated[UploadFile, File(description="The recording.")],
        sample_rate: EveryNth | None = None,
    ) -> AnalyzeResponse:
        """Analyse the file of a form and wait for the result; nothing is kept."""
        return await engine.on_upload(file, sample_rate)

    @app.post("/analyze/batch", dependencies=[gate], responses=refusals)
    async def analyze_batch(batch: BatchRequest) -> BatchResponse:
        """Analyse several objects, a few at a time; each has an outcome of its own."""
        turns = asyncio.Semaphore(CONCURRENT)

        async def in_turn(item: AnalyzeRequest) -> BatchItem:
            async with turns:
                return await _one(engine, item)

        return BatchResponse(items=await asyncio.gather(*map(in_turn, batch.items)))

    @app.post("/jobs", status_code=202, dependencies=[gate], responses=refusals)
    async def start_job(request: AnalyzeRequest, response: Response) -> AnalyzerJob:
        """Begin the analysis of one object, and say where its result will be."""
        job = book.start(engine.on_object(request))
        response.headers["Location"] = f"/jobs/{job.job_id}"
        response.headers["Retry-After"] = str(web.RETRY_AFTER_S)
        return job

    @app.get("/jobs/{job_id}", dependencies=[gate], responses=web.problems(404))
    async def show_job(job_id: str) -> AnalyzerJob:
        """Tell how far an analysis is, with its result once there is one."""
        return book.get(job_id)


async def _one(engine: Engine, item: AnalyzeRequest) -> BatchItem:
    try:
        return BatchItem(s3_key=item.s3_key, response=await engine.on_object(item))
    except Exception as error:  # noqa: BLE001  # the others have outcomes of their own
        return BatchItem(s3_key=item.s3_key, error=_told(error))


def _told(error: Exception, **facts: str) -> JobError:
    """Return what whoever asked is told of an error; the log tells of one that nobody foresaw."""
    if isinstance(error, GuardianError):
        return JobError.of(error)
    _log.error("analysis_failed", exc_info=error, **facts)
    return JobError(code=code_of(error), message="The log says what went wrong.")


def run(settings: Settings, modality: Modality, port: int | None = None) -> None:
    """Serve one analyzer until SIGTERM.

    Raises:
        SetupError: A model is missing or corrupt, or the address needs a token.
    """
    web.check_exposure(settings)
    sandbox.layers(settings.sandbox)  # before the first upload, should it be required
    objects.sweep_workspaces(settings)
    web.serve(create(settings, modality), settings, PORTS[modality] if port is None else port)
