"""Commands about one file on this machine: analyse it, and check what was signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from shared.errors import SetupError
from shared.settings import get_settings
from workers.commands.basics import NOTES, emit, file_argument
from workers.commands.options import NewFile, json_option, language_option, not_the_same, write

#: What is told of each kind of signed document, and where it stands in there.
_FACTS: dict[str, dict[str, tuple[str, ...]]] = {
    "silver-guardian:report": {
        "file": ("file", "name"),
        "sha256": ("file", "sha256"),
        "label": ("verdict", "label"),
        "decided_at": ("verdict", "decided_at"),
        "job_id": ("job_id",),
    },
    "erasure": {"erased_job_id": ("job_id",), "erased_at": ("erased_at",)},
}


@click.command()
@file_argument
@json_option
@click.option("--html", type=NewFile(), help="Write the report as a page.")
@click.option("--report", "json_path", type=NewFile(), help="Write report.json.")
@language_option
def analyze(
    file: Path, as_json: bool, html: Path | None, json_path: Path | None, language: Any
) -> None:
    """Analyse one FILE here, without AWS; same pipelines, same verdict."""
    from shared import signing
    from shared.models import Registry
    from workers import show
    from workers.aggregator import page, report
    from workers.onefile import analyze_file

    not_the_same(html, json_path)
    settings = get_settings()
    key = signing.key_file(settings.signing_key_file)
    with NOTES.status("analysing …"):
        job, analyses = analyze_file(settings, file)
    document = report.encode(report.render_json(job, Registry(settings.models_dir)), key)
    if json_path:
        write(json_path, document)
    if html:
        evidence = {
            item.ref.name: item.content
            for analysis in analyses.values()
            for item in analysis.evidence
        }
        write(html, page.render(job, language, evidence, document))
    if as_json:
        parts = job.model_dump(mode="json", include={"audio", "video", "verdict", "media"})
        emit({"file": str(file), "sha256": job.sha256, **parts})
    else:
        show.analysis(Console(), job, language)
    if job.verdict and job.verdict.label == "failed":
        raise SystemExit(1)


@click.command()
@click.argument("document", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True),
    help="Public key (PEM) it must be of.",
)
@json_option
def verify(document: Path, key: Path | None, as_json: bool) -> None:
    """Check that a report or receipt (DOCUMENT, JSON) is as it was signed.

    Without --key this finds any later change, but not a document signed anew by somebody else:
    compare the key it names.
    """
    from shared import signing
    from shared.visible import visible

    trusted = signing.load_public_key(_content(key)) if key else None
    signature, body = signing.verify(_content(document), trusted)
    facts = _facts(body)
    if as_json:
        known = {"key_id": signature.key_id, "trusted": trusted is not None}
        emit({"verified": True, **known, **facts})
        return
    whose = "the key given" if trusted else "a key that the document itself names: compare it"
    click.echo(f"unchanged since it was signed by {signature.key_id}, {whose}")
    for name, value in facts.items():
        click.echo(f"  {name.replace('_', ' ')}: {visible(str(value))}")


def _content(path: Path) -> bytes:
    """Read a file; one that never ends, or is none, is refused.

    Raises:
        SetupError: It is no plain file, or cannot be read.
    """
    if not path.is_file():
        raise SetupError(f"{path} is no plain file.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from error


def _facts(body: dict[str, Any]) -> dict[str, Any]:
    """Return what a signed document is about; nothing of one of another kind."""
    kind = str(body.get("kind", body.get("schema_name")))
    return {name: _at(body, path) for name, path in _FACTS.get(kind, {}).items()}


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body
