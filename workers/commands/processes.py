"""Commands that run until they are told to end: workers, servers, and the whole local system."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import ExitStack
from typing import Any, get_args

import click
from rich.console import Console

from shared.records import Modality
from shared.settings import get_settings
from workers.commands.basics import NOTES, PATIENCE_S, emit, installation, set_up_logs
from workers.commands.options import PORT, json_option

port_option = click.option("--port", type=PORT, help="Port to listen on.")


@click.command()
@click.argument("role", type=click.Choice(["intake", "audio", "video", "aggregator"]))
def worker(role: Any) -> None:
    """Run one process of the fleet until SIGTERM."""
    if role == "intake":
        from workers.intake import service

        set_up_logs(get_settings())
        service.run(get_settings())
        return
    from workers import pool_metrics

    pool_metrics.collect(get_settings())
    from workers import fleet

    set_up_logs(get_settings())
    raise SystemExit(fleet.run(get_settings(), role))


@click.command()
@click.argument("modality", type=click.Choice(get_args(Modality)))
@port_option
def serve(modality: Modality, port: int | None) -> None:
    """Serve one analyzer over HTTP until SIGTERM, with a loaded model of its own."""
    from workers import analyzer_api

    settings = installation()
    set_up_logs(settings)
    analyzer_api.run(settings, modality, port)


@click.command()
@port_option
def console(port: int | None) -> None:
    """Serve the operators' page and the JSON API until SIGTERM."""
    from workers import stored_page
    from workers.console import app

    settings = installation()
    set_up_logs(settings)
    app.run(settings, stored_page.render, port)


@click.command()
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
    with ExitStack() as stack:
        with NOTES.status("starting …"):
            running = system.running(get_settings(), port, console_port=console_port)
            here = stack.enter_context(running)
        bucket = here.settings.uploads_bucket
        NOTES.print(f"[green]ready[/green]: the console is at {here.console_url}")
        NOTES.print(f"S3, SQS and DynamoDB are at {here.endpoint_url}; upload with any S3 client:")
        click.echo(f"  export AWS_ENDPOINT_URL={here.endpoint_url} AWS_ACCESS_KEY_ID=local \\")
        click.echo(
            f"         AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION={here.settings.region}"
        )
        click.echo(f"  aws s3 cp VIDEO.mp4 s3://{bucket}/uploads/")
        click.echo(
            "  guardian jobs list        # in another shell; then: guardian jobs show JOB_ID"
        )
        NOTES.print(f"[dim]logs in {here.settings.state_dir / 'logs'}; Ctrl-C to stop[/dim]")
        sys.stdout.flush()
        while not stop.wait(1.0):
            ended = here.dead()
            if ended:
                raise SystemExit(f"The {ended.name} process ended: {system.tail(ended.log)}")
        with NOTES.status("stopping …"):
            stack.close()


@click.command()
@json_option
def demo(as_json: bool) -> None:
    """Start the local system, upload the samples through S3, and show their verdicts."""
    from shared.jobs import JobStore
    from workers import local as system
    from workers import show, submit
    from workers.samples import SAMPLES

    console = Console(stderr=as_json)
    settings = get_settings()
    # beside `guardian local`, whose note and logs stay as they are
    settings = settings.model_copy(update={"state_dir": settings.state_dir / "demo"})
    with NOTES.status("starting S3, SQS, DynamoDB and the workers on this machine …"):
        context = system.running(settings)
        here = context.__enter__()
    try:
        uploads = [submit.put(here.settings, path, lambda _: None) for path in SAMPLES]
        for path, upload in zip(SAMPLES, uploads, strict=True):
            console.print(f"uploaded {path.name} to s3://{upload.bucket}/{upload.key}")
        with NOTES.status("analysing …"):
            for upload in uploads:
                for _ in submit.follow(here.settings, upload.job_id, PATIENCE_S):
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
