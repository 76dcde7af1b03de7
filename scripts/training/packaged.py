"""Model files that installed packages carry, and the digests that a registry names."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

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


def compare(made: Path, name: str) -> None:
    """Print the digest of a file that was made.

    Raises:
        SystemExit: The registry names another.
    """
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    print(f"{made} {digest}")
    if digest != Registry(device="cpu", threads=1).entry(name).sha256:
        raise SystemExit("the registry names another digest")
