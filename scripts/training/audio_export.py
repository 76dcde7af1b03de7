"""Write the trained detector as ONNX: encoder and head in one graph, large weights in half."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from audio_fit import CLIP, Head
from audio_nets import WINDOW, FrontEnd, Statistics
from audio_trees import LIMIT, tree_node
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

#: Initializers with at least this many numbers are stored in half precision. The encoder's weights
#: were published in half precision, so nothing is lost by it.
LARGE = 4096


class Detector(nn.Module):
    """Window in, out: linear score of each half, distance from the training data, statistics."""

    def __init__(self, front_end: FrontEnd, head: Head) -> None:
        super().__init__()
        self.front_end = front_end
        self.statistics = Statistics()
        self.register_buffer("mean", torch.tensor(head.mean).float())
        self.register_buffer("deviation", torch.tensor(head.deviation).float())
        self.register_buffer("weights", torch.tensor(head.weights).float())
        self.bias = head.bias

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores and distances (batch, 2) and statistics of windows (batch, samples).

        The mean of both scores is the score of the window, clipped figures and all.
        """
        halves = (self.front_end.halves(samples) - self.mean) / self.deviation
        figures = halves.mean(1).clamp(-CLIP, CLIP)
        whole = torch.matmul(figures, self.weights)[:, None] + self.bias
        apart = torch.matmul(halves, self.weights)
        scores = whole + apart - apart.mean(1, keepdim=True)
        distance = figures.square().mean(1, keepdim=True)
        return scores, torch.cat([distance, distance], dim=1), self.statistics(samples)


def export(detector: Detector, trees: Any, tree_weight: float, path: Path) -> str:
    """Write the graph, trees and all, with a free batch axis and return its SHA-256."""
    detector.eval()
    outputs = ["linear", "distance", "statistics"]
    torch.onnx.export(
        detector,
        (torch.randn(2, WINDOW) * 0.1,),
        str(path),
        input_names=["samples"],
        output_names=outputs,
        dynamic_axes={name: {0: "batch"} for name in ("samples", *outputs)},
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(str(path))
    _halve(model)
    _plant(model, trees, tree_weight)
    model.doc_string = "Voice detector of Silver Guardian; encoder: Whisper tiny.en (MIT, OpenAI)"
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _plant(model: Any, trees: Any, tree_weight: float) -> None:
    """Add the trees' clipped and weighted log-odds to both scores; statistics stay inside."""
    graph = model.graph
    constants = {"tree_low": -LIMIT, "tree_high": LIMIT, "tree_weight": tree_weight}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    graph.node.extend(
        [
            tree_node(trees, "statistics", "tree_odds"),
            helper.make_node("Clip", ["tree_odds", "tree_low", "tree_high"], ["tree_clipped"]),
            helper.make_node("Mul", ["tree_clipped", "tree_weight"], ["tree_score"]),
            helper.make_node("Add", ["linear", "tree_score"], ["score"]),
        ]
    )
    kept = [output for output in graph.output if output.name == "distance"]
    del graph.output[:]
    shape = ["batch", 2]
    graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, shape))
    graph.output.extend(kept)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))


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
