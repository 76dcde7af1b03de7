"""Commands about jobs: upload, follow, list, show, repeat, erase, and how they turned out."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, Task, TransferSpeedColumn
from rich.text import Text

from workers import terminal
from workers.commands.basics import (
    NOTES,
    PATIENCE_S,
    caller,
    emit,
    file_argument,
    installation,
    noted,
    yes_option,
)
from workers.commands.options import (
    Moment,
    NewFile,
    json_option,
    language_option,
    not_the_same,
    write,
)


class _Speed(TransferSpeedColumn):
    """How fast it goes; nothing where it was over before that was known, and no question mark."""

    def render(self, task: Task) -> Text:
        """Show it."""
        return super().render(task) if task.finished_speed or task.speed else Text()


@click.command("submit")
@file_argument
@click.option("--wait/--no-wait", default=True, help="Follow the job to its verdict.")
@click.option("--timeout", default=PATIENCE_S, show_default=True, help="Seconds to wait at most.")
@json_option
@language_option
def submit_command(file: Path, wait: bool, timeout: float, as_json: bool, language: Any) -> None:
    """Upload FILE to uploads/ in parts, then follow its job."""
    from workers import show, submit

    if not file.is_file():
        raise click.BadParameter(f"{file} is no file.")
    settings = installation()
    columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn())
    with Progress(*columns, _Speed(), console=NOTES) as bar:
        task = bar.add_task(terminal.plain(file.name), total=file.stat().st_size)
        upload = submit.put(settings, file, lambda sent: bar.advance(task, sent))
    if not wait:
        document = {"job_id": upload.job_id, "bucket": upload.bucket, "key": upload.key}
        emit(document) if as_json else click.echo(upload.job_id)
        return
    job = None
    with NOTES.status("queued …") as status:
        for job in submit.follow(settings, upload.job_id, timeout):
            done = ", ".join(half.modality for half in job.halves)
            status.update(f"{job.status} … {done}")
    assert job
    emit(job.model_dump(mode="json")) if as_json else show.job(Console(), job, language)
    if job.status != "complete":
        raise SystemExit(1)


@click.group()
def jobs() -> None:
    """List, show, repeat and erase jobs."""


@jobs.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--before", type=Moment(), help="List jobs created before this ISO time (UTC).")
@json_option
def jobs_list(limit: int, before: datetime | None, as_json: bool) -> None:
    """List the newest jobs."""
    from shared import rows
    from shared.jobs import JobStore
    from workers import show

    start = rows.iso(before) if before else None
    found = JobStore(installation()).newest(limit, start)
    if as_json:
        emit({"jobs": [row.model_dump(mode="json") for row in found]})
    else:
        show.jobs(Console(), found)


@jobs.command("show")
@click.argument("job_id")
@json_option
@click.option("--html", type=NewFile(), help="Write its report as a page.")
@click.option("--report", type=NewFile(), help="Save its report.json as stored and signed.")
@language_option
def jobs_show(
    job_id: str, as_json: bool, html: Path | None, report: Path | None, language: Any
) -> None:
    """Show one job with its verdict."""
    from shared import objects
    from shared.jobs import JobStore
    from workers import show, stored_page

    not_the_same(html, report)
    settings = installation()
    job = JobStore(settings).get(job_id)
    if report:
        write(report, objects.get_report_of(settings, job))
    if html:
        write(html, stored_page.render(settings, job_id, language))
    if as_json:
        emit(job.model_dump(mode="json"))
    else:
        show.job(Console(), job, language)


@jobs.command("retry")
@click.argument("job_id")
@json_option
def jobs_retry(job_id: str, as_json: bool) -> None:
    """Analyse a finished job again: its failed halves, or both where none failed."""
    from shared import repeat

    settings = installation()
    with noted(settings, "retry", job_id):
        job = repeat.retry(settings, job_id)
    if as_json:
        emit(job.model_dump(mode="json"))
    else:
        click.echo(f"{job_id} is queued again.")


@jobs.command("erase")
@click.argument("job_id")
@yes_option
@click.option("--receipt", type=NewFile(), help="Write the receipt to a file.")
@json_option
def jobs_erase(job_id: str, yes: bool, receipt: Path | None, as_json: bool) -> None:
    """Remove a job with its upload, evidence and reports for good, and write a receipt."""
    from shared import erasure

    settings = installation()
    if not yes and click.prompt("Type the first eight digits of the id", err=True) != job_id[:8]:
        raise click.Abort
    with noted(settings, "erase", job_id):
        document = erasure.erase(settings, job_id, caller(), datetime.now(UTC))
    if receipt:
        write(receipt, json.dumps(document, ensure_ascii=False))
    if as_json:
        emit(document)
    else:
        counts = ", ".join(f"{count} {kind}" for kind, count in document["removed"].items())
        signed = "signed" if "signature" in document else "not signed: no GUARDIAN_SIGNING_KEY_FILE"
        click.echo(f"{job_id} is erased ({counts}). Receipt: receipts/{job_id}.json, {signed}.")


@jobs.command("feedback")
@click.argument("job_id")
@click.option("--label", "truth", required=True, type=click.Choice(["genuine", "manipulated"]))
@click.option("--note", default="", help="How that is known.")
@json_option
def jobs_feedback(job_id: str, truth: Any, note: str, as_json: bool) -> None:
    """Store what a job turned out to be, for calibration and counts of false alarms."""
    from shared import feedback

    settings = installation()
    with noted(settings, "feedback", job_id, truth):
        given = feedback.give(settings, job_id, truth, datetime.now(UTC), note)
    if as_json:
        emit(given.model_dump(mode="json"))
    else:
        click.echo(f"{job_id} was called {given.label} and is {truth}.")


@click.command("feedback")
@click.option("--csv", "path", type=NewFile(), help="Write label and LLR of each job.")
@json_option
def feedback_summary(path: Path | None, as_json: bool) -> None:
    """Count how verdicts turned out, after `guardian jobs feedback`."""
    from shared import feedback

    rows = list(feedback.every(installation()))
    if path:
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(["job_id", "label", "llr", "said", "model"])
        for row in rows:
            model = f"{row.model.name} {row.model.version}"
            writer.writerow([row.job_id, row.truth, row.llr, row.label, model])
        write(path, table.getvalue())
    counted = feedback.counts(rows)
    if as_json:
        emit(counted)
        return
    for name, count in counted.items():
        click.echo(f"{count:6} {name.replace('_', ' ')}")
