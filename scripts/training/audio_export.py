"""Write the trained detector as ONNX: encoder and head in one graph, large weights in half."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from audio_fit import CLIP, Head
from audio_nets import WINDOW, FrontEnd
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

#: Initializers with at least this many numbers are stored in half precision. The encoder's weights
#: were published in half precision, so nothing is lost by it.
LARGE = 4096


class Detector(nn.Module):
    """Window in, score and distance from the training data out."""

    def __init__(self, front_end: FrontEnd, head: Head) -> None:
        super().__init__()
        self.front_end = front_end
        self.register_buffer("mean", torch.tensor(head.mean).float())
        self.register_buffer("deviation", torch.tensor(head.deviation).float())
        self.register_buffer("weights", torch.tensor(head.weights).float())
        self.bias = head.bias

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and distance, each (batch,), of windows (batch, samples)."""
        figures = (self.front_end(samples) - self.mean) / self.deviation
        figures = figures.clamp(-CLIP, CLIP)
        return torch.matmul(figures, self.weights) + self.bias, figures.square().mean(1)


def export(detector: Detector, path: Path) -> str:
    """Write the graph with a free batch axis and return its SHA-256."""
    detector.eval()
    free = {name: {0: "batch"} for name in ("samples", "score", "distance")}
    torch.onnx.export(
        detector,
        (torch.randn(2, WINDOW) * 0.1,),
        str(path),
        input_names=["samples"],
        output_names=["score", "distance"],
        dynamic_axes=free,
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(str(path))
    _halve(model)
    model.doc_string = "Voice detector of Silver Guardian; encoder: Whisper tiny.en (MIT, OpenAI)"
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _halve(model: Any) -> None:
    """Store large initializers as float16 behind a cast, where float16 holds them exactly."""
    graph = model.graph
    casts = []
    for index, tensor in enumerate(graph.initializer):
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        graph.initializer[index].CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
