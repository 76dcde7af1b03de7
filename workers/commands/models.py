"""Commands about the models that are installed."""

from __future__ import annotations

import click
from rich.console import Console

from shared.settings import get_settings
from workers.commands.basics import emit
from workers.commands.options import json_option


@click.group()
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
