"""One loaded model and the short queue in front of it: what an analyzer does, without HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import structlog
from fastapi import UploadFile
from pydantic import BaseModel, Field

from shared import loading, objects
from shared.batching import SharedRegistry, timed_load
from shared.containers import SNIFF_BYTES, admit
from shared.errors import Busy, GuardianError, KeyOutsideUploads, Stuck, WrongBucket, code_of
from shared.halves import Analyze, examine
from shared.records import Analysis, Media, Modality, PartialResult, Upload
from shared.settings import UPLOADS_PREFIX, Settings
from shared.telemetry import REQUESTS, SELF_TEST
from workers import known_answers
from workers.audio import pipeline as audio
from workers.audio.bound import bind as bind_audio
from workers.video import pipeline as video
from workers.video.bound import bind as bind_video

#: Requests that are analysed at once; what they want scored shares runs of the network.
CONCURRENT = 4
#: Requests that may be at work or wait; one more is answered with 429.
MAX_WAITING = 16
EveryNth = Annotated[int, Field(ge=1, le=10_000, description="Analyse every n-th video frame.")]
_log = structlog.get_logger()


class AnalyzeRequest(BaseModel):
    """One object of the uploads bucket."""

    s3_bucket: str = Field(min_length=3, max_length=63, description="The uploads bucket.")
    s3_key: str = Field(min_length=1, max_length=1024, description="A key under `uploads/`.")
    sample_rate: EveryNth | None = None


class AnalyzeResponse(BaseModel):
    """What one analyzer found; a higher score means more likely manipulated."""

    file: str
    sha256: str
    size_bytes: int
    media: Media | None
    result: PartialResult


class Engine:
    """The loaded model, a few analyses at a time that share it, and a short queue in front."""

    def __init__(self, settings: Settings, modality: Modality) -> None:
        """Verify and load the model.

        Raises:
            SetupError: A model is missing or corrupt.
        """
        self.settings = settings
        self.modality = modality
        self.registry = SharedRegistry(
            settings.models_dir, device=settings.device, threads=settings.threads
        )
        with timed_load(modality):
            self._analyze = _pipeline(settings, self.registry, modality)
        self._threads = ThreadPoolExecutor(CONCURRENT, thread_name_prefix="analysis")
        self._waiting = 0
        self._begun: dict[object, float] = {}
        self.ready = False
        self.test: dict[str, float | str | None] = {}

    def self_test(self) -> None:
        """Score two known clips; ready only if each comes out on its side."""
        self.ready, self.test = known_answers.ask(
            self.modality, lambda path: self._run(path, None)[0].result
        )

    async def begin(self) -> None:
        """Run the known-answer test where the model runs; one that breaks off is one not passed."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self.self_test)
        except Exception:  # noqa: BLE001  # the process stays up and says that it is not ready
            SELF_TEST.labels(self.modality).set(0)
            _log.exception("self_test_failed", modality=self.modality)

    def check_alive(self) -> None:
        """Tell an analysis that hangs, as a call to a GPU may: its thread is lost until a restart.

        Raises:
            Stuck: One has been in work for longer than the fleet would let it.
        """
        limit_s = self.settings.job_timeout_s
        if any(time.monotonic() - begun_s > limit_s for begun_s in list(self._begun.values())):
            raise Stuck(f"An analysis has been in work for more than {limit_s} s.")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def check_room(self) -> None:
        """Refuse while too many wait.

        Raises:
            Busy: They do.
        """
        if self._waiting >= MAX_WAITING:
            raise self._counted(Busy())

    def _counted(self, refusal: GuardianError) -> GuardianError:
        """Count a request that is refused before it has a place."""
        REQUESTS.labels(self.modality, refusal.code).inc()
        return refusal

    def on_object(self, request: AnalyzeRequest) -> Awaitable[AnalyzeResponse]:
        """Take a place for an object of the uploads bucket, and fetch and analyse it when awaited.

        Raises:
            WrongBucket: At once; it is in another bucket.
            KeyOutsideUploads: At once; its key is outside uploads/.
            Busy: At once; too many wait.
            GuardianError: It is gone, too large, no media; or S3 could not be reached.
        """
        if request.s3_bucket != self.settings.uploads_bucket:
            raise self._counted(WrongBucket())
        if not request.s3_key.startswith(UPLOADS_PREFIX):
            raise self._counted(KeyOutsideUploads())
        upload = Upload(bucket=request.s3_bucket, key=request.s3_key)

        def work() -> AnalyzeResponse:
            with (
                objects.workspace(self.settings) as directory,
                objects.fetch(self.settings, upload, directory) as fetched,
            ):
                return self._respond(
                    fetched.path, request.s3_key, fetched.sha256, request.sample_rate
                )

        return self._queued(work)

    async def on_upload(self, upload: UploadFile, sample_rate: int | None) -> AnalyzeResponse:
        """Analyse an uploaded file.

        Raises:
            GuardianError: It is empty, too large or no media.
        """

        def work() -> AnalyzeResponse:
            with objects.workspace(self.settings) as directory:
                path = directory / "media"
                with path.open("wb") as file:
                    shutil.copyfileobj(upload.file, file)
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                return self._respond(path, Path(upload.filename or "").name, digest, sample_rate)

        return await self._queued(work)

    def _queued(self, work: Callable[[], AnalyzeResponse]) -> Awaitable[AnalyzeResponse]:
        """Take a place, unless too many have one, for work that waits there for its turn."""
        self.check_room()
        self._waiting += 1
        return self._in_turn(work)

    async def _in_turn(self, work: Callable[[], AnalyzeResponse]) -> AnalyzeResponse:
        try:
            response = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except Exception as error:
            REQUESTS.labels(self.modality, code_of(error)).inc()
            if loading.is_lost(error):
                self._end(error)
            raise
        finally:
            self._waiting -= 1
        REQUESTS.labels(self.modality, response.result.outcome).inc()
        return response

    def _end(self, error: Exception) -> None:
        """End the process, whose network cannot be run any more: what starts it anew loads anew."""
        _log.error("analyzer_ending", modality=self.modality, error=str(error))
        self.ready = False
        os.kill(os.getpid(), signal.SIGTERM)

    def _respond(
        self, path: Path, name: str, digest: str, sample_rate: int | None
    ) -> AnalyzeResponse:
        size = path.stat().st_size
        with path.open("rb") as file:
            admit(size, file.read(SNIFF_BYTES), self.settings.max_upload_bytes)
        analysis, media = self._run(path, sample_rate)
        return AnalyzeResponse(
            file=name, sha256=digest, size_bytes=size, media=media, result=analysis.result
        )

    def _run(self, path: Path, sample_rate: int | None) -> tuple[Analysis, Media | None]:
        work = object()
        self._begun[work] = time.monotonic()
        try:
            with self.registry.member():
                return examine(path, self.modality, self._analyze(sample_rate), self.settings)
        finally:
            del self._begun[work]


def _pipeline(
    settings: Settings, registry: SharedRegistry, modality: Modality
) -> Callable[[int | None], Analyze]:
    """Load one pipeline; the result takes a sampling rate and gives the analysis."""
    if modality == "audio":
        listen = bind_audio(settings, audio.load(registry), draws_sound=False)
        return lambda _: listen
    look = video.load(registry)
    return lambda sample_every: bind_video(settings, look, sample_every=sample_every)
