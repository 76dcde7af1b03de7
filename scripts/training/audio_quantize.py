"""The encoder with 8-bit weights and activations: what ships, and what heads are fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from audio_nets import WINDOW, FrontEnd
from audio_pool import Clips, windows
from numpy.typing import NDArray
from onnxruntime import quantization
from torch import Tensor, nn

#: Windows behind the ranges of the activations, by the batch.
BATCHES, BATCH = 16, 8
#: Operators of ONNX; from 20 on, a GELU is one of them.
OPSET = 20


class Encoder8:
    """The figures of a window, as `FrontEnd` gives them, from the 8-bit encoder."""

    def __init__(self, path: Path) -> None:
        """Open an encoder that `quantise` wrote."""
        self.path = path
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(str(path), options)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return (batch, figures) of windows (batch, samples)."""
        return self.halves(samples).mean(1)

    def halves(self, samples: Tensor) -> Tensor:
        """Return (batch, 2, figures): the same of both halves of each window."""
        (found,) = self._session.run(["halves"], {"samples": samples.numpy()})
        return torch.tensor(found)


class _Halves(nn.Module):
    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.front_end = front_end

    def forward(self, samples: Tensor) -> Tensor:
        return self.front_end.halves(samples)


class _Heard(quantization.CalibrationDataReader):  # type: ignore[misc]  # untyped base
    """Windows of all copies, by the batch."""

    def __init__(self, clips: Clips) -> None:
        self._batches = self._drawn(clips)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)

    @staticmethod
    def _drawn(clips: Clips) -> Iterator[dict[str, NDArray[np.float32]]]:
        rng = np.random.default_rng(0)
        for _ in range(BATCHES):
            drawn = rng.integers(0, (clips.pcm.shape[0], len(clips.rows)), (BATCH, 2))
            rows = [windows(clips.clip(copy, index), rng)[0] for copy, index in drawn]
            yield {"samples": np.stack(rows).astype(np.float32) / 32768}


def quantise(front_end: FrontEnd, clips: Clips, path: Path) -> Encoder8:
    """Write the 8-bit encoder, unless it is there, and open it.

    Convolutions and linear layers have weights of 7 bits, one scale a channel, so that processors
    without VNNI, whose sums of products saturate, come to the same figures; ranges of activations
    are percentiles over windows of all copies. Spectra, attention, and what comes out of linear
    layers stay in 32 bits.

    Args:
        front_end: The encoder.
        clips: Where windows are drawn from.
        path: Where to write.
    """
    if path.exists():
        return Encoder8(path)
    plain = path.with_suffix(".32.onnx")
    axes = {name: {0: "batch"} for name in ("samples", "halves")}
    torch.onnx.export(
        _Halves(front_end).eval(),
        (torch.randn(2, WINDOW) * 0.1,),
        str(plain),
        input_names=["samples"],
        output_names=["halves"],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    quantization.quantize_static(
        str(plain),
        str(path),
        _Heard(clips),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Conv"],
        nodes_to_quantize=_learned(plain),
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod.Percentile,
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
    )
    return Encoder8(path)


def _learned(path: Path) -> list[str]:
    """Return the nodes with learnt weights: no spectra, no products of two activations."""
    graph = onnx.load(str(path)).graph
    stored = {tensor.name for tensor in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type in {"MatMul", "Conv"} and node.input[1] in stored
    ]
