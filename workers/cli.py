"""The `guardian` command: the composition root that every process starts from."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from shared.errors import GuardianError
from shared.settings import Settings, get_settings
from workers import commands, terminal
from workers.evaluate_command import evaluate_command
from workers.options import PORT, Moment, NewFile, json_option, write
from workers.plan_command import plan_command

_err = Console(stderr=True, highlight=False)
_WAIT_S = 900.0

file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


class _Group(click.Group):
    """A group whose errors are one sentence, or one JSON document with --json."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except GuardianError as error:
            if "--json" in sys.argv:
                document = {"error": {"code": error.code, "message": error.message}}
                click.echo(terminal.document(document), err=True)
            else:
                _err.print(f"[red]{error.code}[/red]: {terminal.plain(error.message)}")
            context.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="silver-guardian")
def main() -> None:
    """Find synthetic voices and manipulated pictures in uploaded recordings."""
    import structlog

    # standard output is the answer's; processes set up their logs themselves
    structlog.reset_defaults()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def emit(document: Any) -> None:
    """Print the one JSON document that ends standard output."""
    click.echo(terminal.document(document))


def client_settings() -> Settings:
    """Return settings for commands that only ask: a local system is found by itself."""
    from workers import local

    settings = get_settings()
    if settings.endpoint_url is not None:
        return settings
    found = local.find(settings)
    if found is None:
        return settings
    _err.print(f"[dim]local system at {found.endpoint_url}[/dim]")
    return found


def logged(command: Callable[..., Any]) -> Callable[..., Any]:
    """Set up logging before a command that runs as a process."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from shared.telemetry import configure_logging

        settings = get_settings()
        configure_logging(settings.log_format, settings.log_level)
        return command(*args, **kwargs)

    return wrapper


@main.command()
@file_argument
@json_option
@click.option("--html", type=NewFile(), help="Write the report as a page.")
@click.option("--report", "json_path", type=NewFile(), help="Write report.json.")
@click.option("--language", type=click.Choice(["en", "ko"]), default="en", show_default=True)
def analyze(
    file: Path, as_json: bool, html: Path | None, json_path: Path | None, language: Any
) -> None:
    """Analyse one FILE here, without AWS; same pipelines, same verdict."""
    from shared import signing
    from workers import show
    from workers.aggregator import report
    from workers.onefile import analyze_file

    if html and json_path and html.absolute() == json_path.absolute():
        raise click.UsageError("--html and --report name the same file.")
    key = signing.key_file(get_settings().signing_key_file)
    job, analyses = analyze_file(get_settings(), file)
    if json_path:
        write(json_path, report.encode(report.render_json(job), key))
    if html:
        evidence = {
            item.ref.name: item.content
            for analysis in analyses.values()
            for item in analysis.evidence
        }
        page = report.render_html(job, language, evidence, key=key)
        write(html, page)
    if as_json:
        parts = job.model_dump(mode="json", include={"audio", "video", "verdict", "media"})
        emit({"file": str(file), "sha256": job.sha256, **parts})
    else:
        show.job(Console(), job)
    if job.verdict and job.verdict.label == "failed":
        raise SystemExit(1)


@main.command()
@click.argument("document", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Public key (PEM) it must be of.",
)
@json_option
def verify(document: Path, key: Path | None, as_json: bool) -> None:
    """Check that a report or receipt (DOCUMENT, JSON) is as it was signed.

    Without --key this finds any later change, but not a document signed anew by somebody else:
    compare the key it names.
    """
    from shared import signing

    trusted = signing.load_public_key(key.read_bytes()) if key else None
    signature = signing.verify(document.read_bytes(), trusted)
    if as_json:
        emit({"verified": True, "key_id": signature.key_id, "trusted": trusted is not None})
        return
    whose = "the key given" if trusted else "a key that the document itself names: compare it"
    click.echo(f"unchanged since it was signed by {signature.key_id}, {whose}")


@main.command()
@click.argument("role", type=click.Choice(["intake", "audio", "video", "aggregator"]))
def worker(role: Any) -> None:
    """Run one process of the fleet until SIGTERM."""
    if role == "intake":
        from workers.intake import service

        logged(service.run)(get_settings())
        return
    from workers import pool_metrics

    pool_metrics.collect(get_settings())
    from workers import fleet

    raise SystemExit(logged(fleet.run)(get_settings(), role))


@main.command()
@click.option(
    "--port", type=PORT, default=4566, show_default=True, help="Port of the stand-in for AWS."
)
@click.option(
    "--console-port", type=PORT, default=8080, show_default=True, help="Port of the console."
)
def local(port: int, console_port: int) -> None:
    """Run the whole system on this machine until Ctrl-C; nothing is kept."""
    from workers import local as system

    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    running = system.running(get_settings(), port, console_port=console_port)
    with _err.status("starting …"), running as here:
        bucket = here.settings.uploads_bucket
        _err.print(f"[green]ready[/green]: the console is at {here.console_url}")
        _err.print(f"S3, SQS and DynamoDB are at {here.endpoint_url}; upload with any S3 client:")
        click.echo(f"  export AWS_ENDPOINT_URL={here.endpoint_url} AWS_ACCESS_KEY_ID=local \\")
        click.echo(
            f"         AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION={here.settings.region}"
        )
        click.echo(f"  aws s3 cp VIDEO.mp4 s3://{bucket}/uploads/")
        click.echo(
            "  guardian jobs list        # in another shell; then: guardian jobs show JOB_ID"
        )
        _err.print(f"[dim]logs in {here.settings.state_dir / 'logs'}; Ctrl-C to stop[/dim]")
        sys.stdout.flush()
        while not stop.wait(1.0):
            ended = here.dead()
            if ended:
                raise SystemExit(f"The {ended.name} process ended: {system.tail(ended.log)}")


@main.command()
@json_option
def demo(as_json: bool) -> None:
    """Start the local system, upload the samples through S3, and show their verdicts."""
    from shared.jobs import JobStore
    from workers import local as system
    from workers import show, submit
    from workers.samples import SAMPLES

    console = Console(stderr=as_json)
    with _err.status("starting S3, SQS, DynamoDB and the workers on this machine …"):
        context = system.running(get_settings())
        here = context.__enter__()
    try:
        uploads = [submit.put(here.settings, path, lambda _: None) for path in SAMPLES]
        for path, upload in zip(SAMPLES, uploads, strict=True):
            console.print(f"uploaded {path.name} to s3://{upload.bucket}/{upload.key}")
        with _err.status("analysing …"):
            for upload in uploads:
                for _ in submit.follow(here.settings, upload.job_id, _WAIT_S):
                    pass
        jobs = [JobStore(here.settings).get(upload.job_id) for upload in uploads]
    finally:
        context.__exit__(None, None, None)
    for job in jobs:
        show.job(console, job)
    if as_json:
        emit({"jobs": [job.model_dump(mode="json") for job in jobs]})
    if any(job.status != "complete" for job in jobs):
        raise SystemExit(1)


@main.command("submit")
@file_argument
@click.option("--wait/--no-wait", default=True, help="Follow the job to its verdict.")
@click.option("--timeout", default=_WAIT_S, show_default=True, help="Seconds to wait at most.")
@json_option
def submit_command(file: Path, wait: bool, timeout: float, as_json: bool) -> None:
    """Upload FILE to uploads/ in parts, then follow its job."""
    from workers import show, submit

    if not file.is_file():
        raise click.BadParameter(f"{file} is no file.")
    settings = client_settings()
    columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=_err) as bar:
        task = bar.add_task(terminal.plain(file.name), total=file.stat().st_size)
        upload = submit.put(settings, file, lambda sent: bar.advance(task, sent))
    if not wait:
        document = {"job_id": upload.job_id, "bucket": upload.bucket, "key": upload.key}
        emit(document) if as_json else click.echo(upload.job_id)
        return
    job = None
    with _err.status("queued …") as status:
        for job in submit.follow(settings, upload.job_id, timeout):
            done = [name for name in ("audio", "video") if getattr(job, name)]
            status.update(f"{job.status} … {', '.join(done)}")
    assert job
    emit(job.model_dump(mode="json")) if as_json else show.job(Console(), job)
    if job.status != "complete":
        raise SystemExit(1)


@main.group()
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
    found = JobStore(client_settings()).newest(limit, start)
    if as_json:
        emit({"jobs": [row.model_dump(mode="json") for row in found]})
    else:
        show.jobs(Console(), found)


for _command in commands.COMMANDS:
    main.add_command(_command)
jobs.add_command(commands.jobs_show)
jobs.add_command(commands.jobs_retry)
jobs.add_command(commands.jobs_erase)
jobs.add_command(commands.jobs_feedback)


@main.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be made.")
@json_option
def provision(dry_run: bool, as_json: bool) -> None:
    """Make buckets, notifications, queues, dead letters and table from deploy/aws/stack.yaml."""
    from workers.provision import provision as make

    plan = make(get_settings(), dry_run=dry_run)
    emit(plan.document()) if as_json else click.echo(plan.text())


@main.group()
def models() -> None:
    """List and verify the models."""


@models.command("list")
@json_option
def models_list(as_json: bool) -> None:
    """List models with versions, licences and measured error rates."""
    from dataclasses import asdict

    from shared.models import Registry
    from workers import show

    registry = Registry(get_settings().models_dir)
    if as_json:
        emit({"models": [asdict(entry) for entry in registry.entries.values()]})
    else:
        show.models(Console(), registry)


@models.command("verify")
@json_option
def models_verify(as_json: bool) -> None:
    """Check every model file against its digest, and load it."""
    from shared.models import Registry

    settings = get_settings()
    registry = Registry(settings.models_dir, device=settings.device, threads=1)
    for entry in registry.entries.values():
        registry.verify(entry.name)
        if entry.file.endswith(".onnx"):
            registry.session(entry.name)
    if as_json:
        emit({"verified": sorted(registry.entries), "model_set": registry.digest})
    else:
        click.echo(f"{len(registry.entries)} models are as the registry says ({registry.digest}).")


main.add_command(evaluate_command)
main.add_command(plan_command)

if __name__ == "__main__":
    main()
