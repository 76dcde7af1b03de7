"""From trained weights to the ONNX file that the workers load: score and distance a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from training.video_crops import Crop
from training.video_data import SIDE_PX, views_of
from training.video_loop import device_of, to_tensor
from training.video_net import FaceNet, same_pads

#: Principal directions of the training faces that distance is measured along.
DIRECTIONS = 32


class Shipped(nn.Module):
    """The network with a second output: how far a face lies from the training faces.

    The distance is 1 for a typical training face: the root mean square of its whitened principal
    coordinates and of its remainder, both in units of the training faces.
    """

    def __init__(self, net: FaceNet, features: Tensor) -> None:
        """Take the network and the features (n, channels) of the training faces."""
        super().__init__()
        self.net = net
        mean = features.mean(dim=0)
        _, spread, directions = torch.linalg.svd(features - mean, full_matrices=False)
        directions = directions[:DIRECTIONS]
        scale = spread[:DIRECTIONS] / (len(features) - 1) ** 0.5
        inside = (features - mean) @ directions.T
        rest = ((features - mean - inside @ directions) ** 2).sum(dim=1).mean()
        self.register_buffer("mean", mean)
        self.register_buffer("directions", directions)
        self.register_buffer("scale", scale)
        self.register_buffer("rest", rest)
        self.mean: Tensor
        self.directions: Tensor
        self.scale: Tensor
        self.rest: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and distances, both of shape (n,)."""
        features = self.net.features(x)
        centred = features - self.mean
        inside = centred @ self.directions.T
        rest = ((centred - inside @ self.directions) ** 2).sum(dim=1) / self.rest
        near = ((inside / self.scale) ** 2).mean(dim=1)
        return self.net.classify(features)[:, 0], torch.sqrt((near + rest) / 2)

    def typical_distance(self, crops: list[Crop]) -> float:
        """Return the mean distance of some crops."""
        squares = np.concatenate([views_of(crop) for crop in crops])
        with torch.no_grad():
            _, distances = self(to_tensor(squares, device_of(self)))
        return float(distances.mean())


def features_of(net: FaceNet, crops: list[Crop]) -> Tensor:
    """Return the features of the squares of n crops, shape (2 n, channels)."""
    parts = []
    with torch.no_grad():
        for first in range(0, len(crops), 32):
            squares = np.concatenate([views_of(crop) for crop in crops[first : first + 32]])
            parts.append(net.features(to_tensor(squares, device_of(net))))
    return torch.cat(parts)


def export(model: Shipped, path: Path) -> None:
    """Write the ONNX file, and check that it computes what the network does."""
    import onnxruntime  # noqa: PLC0415  # only the check needs it

    example = torch.zeros(2, 3, SIDE_PX, SIDE_PX)
    example[1] = torch.linspace(-1, 1, SIDE_PX)
    model.cpu().eval()
    torch.onnx.export(
        model,
        (example,),
        str(path),
        input_names=["faces"],
        output_names=["score", "distance"],
        dynamic_axes={name: {0: "n"} for name in ("faces", "score", "distance")},
        opset_version=17,
        dynamo=False,
    )
    graph = onnx.load(path)
    absorb_pads(graph.graph)
    onnx.save(graph, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    score, _ = session.run(None, {"faces": example.numpy()})
    with torch.no_grad():
        expected = model(example)[0].numpy()
    if not np.allclose(score, expected, atol=1e-3):
        raise SystemExit(f"the exported model differs: {score} instead of {expected}")


def absorb_pads(graph: onnx.GraphProto) -> None:
    """Let convolutions pad by themselves, as `same_pads` has it, and drop the nodes that did.

    Beside a node that pads, ONNX Runtime turns the layout of the values round and back.
    """
    padded = {node.output[0]: node for node in graph.node if node.op_type == "Pad"}
    for conv in graph.node:
        pad = padded.get(conv.input[0]) if conv.op_type == "Conv" else None
        if pad is None:
            continue
        sizes = {item.name: item.ints for item in conv.attribute}
        before, after = same_pads(sizes["kernel_shape"][0], sizes["strides"][0])
        sizes["pads"][:] = [before, before, after, after]
        conv.input[0] = pad.input[0]
        graph.node.remove(pad)
    _drop_unused(graph)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Drop nodes whose outputs nothing takes, until none is left."""
    while True:
        taken = {name for node in graph.node for name in node.input}
        taken |= {value.name for value in graph.output}
        idle = [node for node in graph.node if not taken.intersection(node.output)]
        if not idle:
            return
        for node in idle:
            graph.node.remove(node)


def average(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average weights of networks that started alike (Wortsman et al., Model soups, ICML 2022)."""
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0).to(value.dtype)
        for name, value in states[0].items()
    }
