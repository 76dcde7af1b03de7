"""Write the voice activity detector's ONNX file from the package that carries it.

    scripts/export_voice_activity.py OUT.onnx

Needs `pip install --no-deps silero-vad==6.2.3 onnx==1.23.2` and what onnx imports. The weights stay
as they are, and so does what is computed, but for the order of sums: the convolutions run over five
positions of a 32 ms frame at most, and ONNX Runtime computes them frame by frame. Written as
products of matrices over all frames of a block, they take a fraction of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from training.packaged import export, packaged_file

from workers.audio.speech import CONTEXT, FRAME, MODEL

#: The package, its file, and what that file must be.
PACKAGE, FILE = "silero_vad", "data/silero_vad_16k_sequence.onnx"
ORIGIN_SHA256 = "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"
#: Samples between two spectra of a frame, their number, and the lines of one.
HOP, SPECTRA, LINES = 128, 4, 129
#: The value that the recurrent layer takes, (frames, 1, 128).
HANDED_ON = "/Transpose_output_0"


def main() -> None:
    """Export, and compare with the digest in the registry."""
    export(__doc__, packaged_file(PACKAGE, FILE, ORIGIN_SHA256), rewrite, MODEL)


def rewrite(model: onnx.ModelProto) -> None:
    """Compute what the recurrent layer takes by products of matrices."""
    graph = model.graph
    weights = {stored.name: numpy_helper.to_array(stored) for stored in graph.initializer}
    front = Front(weights)
    front.build()
    names = [node.output[0] for node in graph.node]
    kept = list(graph.node)[names.index(HANDED_ON) + 1 :]
    del graph.node[:]
    graph.node.extend([*front.nodes, *kept])
    used = {name for node in graph.node for name in node.input}
    stored = [item for item in [*graph.initializer, *front.stored] if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(stored)


class Front:
    """The layers before the recurrent one."""

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        """Begin with the weights of the original."""
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self._weights = weights

    def build(self) -> None:
        """Add magnitudes of four spectra a frame, and four convolutions."""
        reach = SPECTRA * HOP + HOP
        after = np.array([0, 0, 0, reach - CONTEXT - FRAME])
        padded = self._add("padded", "Pad", "input", after, mode="reflect")
        blocks = self._shaped(padded, -1, SPECTRA + 1, HOP)
        frames = self._shaped(self._side_by_side(blocks, (0, 1), SPECTRA), -1, 2 * HOP)
        basis = self._weights["stft.forward_basis_buffer"][:, 0].T
        parts = self._add("parts", "MatMul", frames, basis)
        squares = self._add("squares", "Mul", parts, parts)
        pairs = self._shaped(squares, -1, 2, LINES)
        power = self._add("power", "ReduceSum", pairs, np.array([1]), keepdims=0)
        spectra = self._shaped(self._add("magnitude", "Sqrt", power), -1, SPECTRA, LINES)
        # a convolution of three taps, with nothing before and behind: all positions, then every
        # second one twice, and then the one that is left, in the middle of its taps
        around = self._add("around", "Pad", spectra, np.array([0, 1, 0, 0, 1, 0]))
        first = self._layer(self._side_by_side(around, (0, 1, 2), SPECTRA), "encoder.0")
        before = self._add(
            "before", "Pad", self._shaped(first, -1, 4, 128), np.array([0, 1, 0] * 2)
        )
        second = self._layer(self._side_by_side(before, (0, 1, 2), 2, every=2), "encoder.1")
        third = self._layer(second, "encoder.2", slice(1, 3))
        fourth = self._layer(third, "encoder.3", slice(1, 2))
        self._add(HANDED_ON, "Reshape", fourth, np.array([-1, 1, 128]))

    def _layer(self, value: str, name: str, taps: slice = slice(None)) -> str:
        """Add a convolution whose taps lie behind each other on the last axis."""
        weight = self._weights[f"{name}.weight"][:, :, taps]
        matrix = np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(-1, len(weight)))
        rows = self._shaped(value, -1, len(matrix))
        total = self._add(f"{name}.sum", "Gemm", rows, matrix, f"{name}.bias")
        return self._add(f"{name}.out", "Relu", total)

    def _side_by_side(self, value: str, starts: tuple[int, ...], count: int, every: int = 1) -> str:
        """Put positions (axis 1) from each start on behind each other on the last axis."""
        pieces = []
        for start in starts:
            end = start + (count - 1) * every + 1
            bounds = (np.array([number]) for number in (start, end, 1, every))
            pieces.append(self._add(f"{value}.from{start}", "Slice", value, *bounds))
        return self._add(f"{value}.beside", "Concat", *pieces, axis=2)

    def _shaped(self, value: str, *shape: int) -> str:
        return self._add(f"{value}.shaped", "Reshape", value, np.array(shape))

    def _add(self, name: str, kind: str, *inputs: str | NDArray[Any], **attributes: Any) -> str:
        """Add a node and return the name of its output; inputs are names, or stored values."""
        names = []
        for place, value in enumerate(inputs):
            if not isinstance(value, str):
                self.stored.append(numpy_helper.from_array(value, f"{name}.{place}"))
            names.append(value if isinstance(value, str) else f"{name}.{place}")
        self.nodes.append(helper.make_node(kind, names, [name], name, **attributes))
        return name


if __name__ == "__main__":
    main()
