"""What the pool child of an analyzer does, whichever half it is: load once, then job after job."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

from shared import loading, objects, shadow
from shared.batching import CountedRegistry, timed_load
from shared.halves import Analyze, run_half
from shared.models import Registry
from shared.queues import check_schema
from shared.records import Modality
from shared.settings import Settings, get_settings
from shared.visibility import Receipt
from workers import known_answers

Detector = TypeVar("Detector")
Bind = Callable[[Settings, Detector], Analyze]


class Half(Generic[Detector]):
    """The models of one half, those that decide and those beside them, and the work with them."""

    def __init__(
        self,
        modality: Modality,
        load: Callable[[Registry], Detector],
        bind: Bind[Detector],
        bind_second: Bind[Detector],
    ) -> None:
        """Load nothing yet.

        Args:
            modality: Which half.
            load: Loads its detector.
            bind: Returns what analyses a file with the detector.
            bind_second: The same for one that decides nothing.
        """
        self._modality, self._load_from = modality, load
        self._bind, self._bind_second = bind, bind_second

    @cached_property
    def _score(self) -> Analyze:
        settings = get_settings()
        with timed_load(self._modality):
            registry = CountedRegistry(
                settings.models_dir, device=settings.device, threads=settings.threads
            )
            return self._bind(settings, self._load_from(registry))

    @cached_property
    def _second(self) -> Analyze | None:
        detector = shadow.load(get_settings(), self._modality, self._load_from)
        return None if detector is None else self._bind_second(get_settings(), detector)

    def load(self, **_: object) -> None:
        """Load once in the pool child, before it takes a task."""
        loading.load(self._prepare)

    def _prepare(self) -> bool:
        objects.sweep_workspaces(get_settings())  # of a killed child, in whose place we are
        score, _ = self._score, self._second
        return known_answers.fit(get_settings(), self._modality, score)

    def work(self, task: Any, job_id: str, schema_version: int) -> None:
        """Do this half of a job, as a Celery task that is bound."""
        check_schema(schema_version)
        score = shadow.beside(self._modality, self._score, self._second)
        receipt = Receipt.of_message(task.request.properties)
        with loading.replaced_where_lost():
            run_half(get_settings(), self._modality, job_id, score, receipt)
