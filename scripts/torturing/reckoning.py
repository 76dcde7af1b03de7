"""Compares what the table, the queues and the disk say at the end with what must be there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared import aws, depths, letters, rows
from shared.errors import GuardianError, UnknownJob
from shared.jobs import JobStore
from shared.objects import get_report
from shared.records import Job, JobStatus, PartialResult
from shared.settings import QUEUES, Settings

#: What differs between two runs without being a decision.
_CHANGING = {"timings_ms", "attempt", "evidence", "analysed_at"}
#: Problems of one kind that are spelled out.
_SHOWN = 8


@dataclass
class Reckoning:
    """What was counted, and what is wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def expect(self, holds: bool, problem: str) -> None:
        """Note a problem unless something holds."""
        if not holds:
            self.problems.append(problem)


def decision(job: Job) -> dict[str, Any]:
    """Return what a job says about its upload, without what chance and time decide."""
    verdict = job.verdict.model_dump(mode="json", exclude={"decided_at"}) if job.verdict else None
    return {
        "status": job.status,
        "error": job.error.code if job.error else None,
        "audio": _half(job.audio),
        "video": _half(job.video),
        "verdict": verdict,
    }


def _half(half: PartialResult | None) -> dict[str, Any] | None:
    return half.model_dump(mode="json", exclude=_CHANGING) if half else None


def all_jobs(settings: Settings) -> dict[str, Job]:
    """Read every job of an installation by its id, from the table itself."""
    pages = (
        aws.client(settings, "dynamodb").get_paginator("scan").paginate(TableName=settings.table)
    )
    found = [rows.decode(item) for page in pages for item in page["Items"]]
    return {row["pk"]: rows.job(row) for row in found if ":" not in row["pk"]}


def unfinished(settings: Settings, job_ids: list[str]) -> list[str]:
    """Return the ids of those jobs that are not there or not final."""
    jobs = all_jobs(settings)
    return [key for key in job_ids if key not in jobs or not jobs[key].status.final]


def still_queued(settings: Settings) -> dict[str, int]:
    """Return how many messages each queue holds in any state, dead letters apart."""
    return {row.name: row.visible + row.in_flight + row.delayed for row in depths.measure(settings)}


def check_jobs(
    reckoning: Reckoning,
    settings: Settings,
    expected: dict[str, dict[str, Any]],
    names: dict[str, str],
) -> None:
    """Compare all jobs with the decisions expected, by job id; each has one, and its report."""
    jobs = all_jobs(settings)
    extra, missing = jobs.keys() - expected.keys(), expected.keys() - jobs.keys()
    reckoning.expect(not extra, f"{len(extra)} jobs of no upload")
    reckoning.expect(not missing, f"no job: {[names[key] for key in missing][:_SHOWN]}")
    for job_id in expected.keys() & jobs.keys():
        job = jobs[job_id]
        reckoning.counts[str(job.status)] += 1
        reckoning.counts["cache_hits"] += job.cache_hit
        reckoning.counts["swept"] += job.sweeps > 0
        found = decision(job)
        if found != expected[job_id]:
            places = "; ".join(_differences(expected[job_id], found)[:_SHOWN])
            reckoning.problems.append(f"{names[job_id]}: {places}")
        if job.status is JobStatus.COMPLETE:
            reckoning.expect(_reported(settings, job), f"{names[job_id]}: no report")


def _reported(settings: Settings, job: Job) -> bool:
    try:
        return bool(job.report_key and get_report(settings, job.report_key))
    except GuardianError:
        return False


def _differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """Name the places where two documents differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        names = sorted(expected.keys() | found.keys())
        inside = [_differences(expected.get(n), found.get(n), f"{where}.{n}") for n in names]
        return [place for places in inside for place in places]
    return [] if expected == found else [f"{where} is {found!r}, not {expected!r}"]


def check_queues(reckoning: Reckoning, settings: Settings, poison: list[str]) -> None:
    """Queues are empty; each dead letter is poison of ours, or its job is finished all the same."""
    for name, count in still_queued(settings).items():
        reckoning.expect(count == 0, f"{count} messages in {name}")
    store, left = JobStore(settings), list(poison)
    for queue in QUEUES:
        for letter in letters.read(settings, queue):
            reckoning.counts["dead_letters"] += 1
            if letter.body in left:
                left.remove(letter.body)
                reckoning.counts["dead_poison"] += 1
            elif letter.body in poison:
                reckoning.counts["dead_poison_again"] += 1  # it was doubled
            elif letter.job_id and _is_final(store, letter.job_id):
                reckoning.counts["dead_of_finished_jobs"] += 1
            else:
                reckoning.problems.append(f"dead letter in {queue}: {letter.cause}")
    reckoning.expect(not left, f"{len(left)} unreadable messages are not among the dead letters")


def _is_final(store: JobStore, job_id: str) -> bool:
    try:
        return store.get(job_id).status.final
    except UnknownJob:
        return False


def check_disk(reckoning: Reckoning, *directories: Path) -> None:
    """Nothing is left in the directories for temporary files, not even a directory."""
    left = [path for directory in directories for path in directory.rglob("*")]
    reckoning.counts["files_left"] = len(left)
    reckoning.expect(not left, f"files left: {[str(path) for path in left[:_SHOWN]]}")
