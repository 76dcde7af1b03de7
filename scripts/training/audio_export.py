"""Write the trained detector as ONNX: 8-bit encoder, head and trees in one graph."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from audio_fit import CLIP, Head
from audio_nets import WINDOW
from audio_quantize import OPSET, Encoder8
from audio_statistics import Statistics
from audio_trees import LIMIT, tree_node
from onnx import TensorProto, compose, helper, numpy_helper
from torch import Tensor, nn

#: What the names of the encoder's values begin with.
_ENCODER = "encoder8/"


class Detector(nn.Module):
    """Window and figures of its halves in; linear scores, distances and statistics out."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.statistics = Statistics()
        self.register_buffer("mean", torch.tensor(head.mean).float())
        self.register_buffer("deviation", torch.tensor(head.deviation).float())
        self.register_buffer("weights", torch.tensor(head.weights).float())
        self.bias = head.bias

    def forward(self, samples: Tensor, heard: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores and distances (batch, 2) and statistics of windows (batch, samples).

        The mean of both scores is the score of the window, clipped figures and all.
        """
        halves = (heard - self.mean) / self.deviation
        figures = halves.mean(1).clamp(-CLIP, CLIP)
        whole = torch.matmul(figures, self.weights)[:, None] + self.bias
        apart = torch.matmul(halves, self.weights)
        scores = whole + apart - apart.mean(1, keepdim=True)
        distance = figures.square().mean(1, keepdim=True)
        return scores, torch.cat([distance, distance], dim=1), self.statistics(samples)


def export(encoder: Encoder8, head: Head, trees: Any, tree_weight: float, path: Path) -> str:
    """Write the graph, trees and all, with a free batch axis and return its SHA-256."""
    samples = torch.randn(2, WINDOW) * 0.1
    inputs = ["samples", "halves"]
    outputs = ["linear", "distance", "statistics"]
    torch.onnx.export(
        Detector(head).eval(),
        (samples, encoder.halves(samples)),
        str(path),
        input_names=inputs,
        output_names=outputs,
        dynamic_axes={name: {0: "batch"} for name in (*inputs, *outputs)},
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(str(path))
    _precede(model, onnx.load(str(encoder.path)))
    _plant(model, trees, tree_weight)
    model.doc_string = "Voice detector of Silver Guardian; encoder: Whisper base (MIT, OpenAI)"
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _precede(model: Any, encoder: Any) -> None:
    """Put the encoder before the graph that takes the figures of halves."""
    compose.add_prefix(encoder, _ENCODER, inplace=True)
    outside = {f"{_ENCODER}{name}": name for name in ("samples", "halves")}
    for node in encoder.graph.node:
        for names in (node.input, node.output):
            names[:] = [outside.get(name, name) for name in names]
    nodes = [*encoder.graph.node, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(encoder.graph.initializer)
    kept = [value for value in model.graph.input if value.name == "samples"]
    del model.graph.input[:]
    model.graph.input.extend(kept)


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
