"""Model files that installed packages carry, and the digests that a registry names."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

import onnx

from shared.models import Registry


def packaged_file(package: str, file: str, sha256: str) -> Path:
    """Return a file of an installed package, which need not be importable.

    Raises:
        SystemExit: The package is not installed, or its file is another one.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{package} is not installed")
    path = Path(found.submodule_search_locations[0]) / file
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sha256:
        raise SystemExit(f"{path} is not the file that was exported: {digest}")
    return path


def export(
    description: str | None, origin: Path, change: Callable[[onnx.ModelProto], None], name: str
) -> None:
    """Write a changed model where the command line says, and compare its digest.

    Args:
        description: What the program is for.
        origin: The file of the package.
        change: Changes the model.
        name: What the registry calls it.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    model = onnx.load(origin)
    change(model)
    onnx.checker.check_model(model)
    onnx.save(model, out)
    _compare(out, name)


def _compare(made: Path, name: str) -> None:
    """Print the digest of a file that was made.

    Raises:
        SystemExit: The registry names another.
    """
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    print(f"{made} {digest}")
    if digest != Registry(device="cpu", threads=1).entry(name).sha256:
        raise SystemExit("the registry names another digest")
