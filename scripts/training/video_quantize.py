"""The face network with 8-bit weights and activations, and what that costs out of fold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.video_crops import Crop
from training.video_data import NARROW, WIDE, views_of
from workers.video.scoring import FaceScorer

#: Faces behind the ranges of the activations, by batch.
BATCHES, BATCH = 12, 8


def quantise(source: Path, target: Path, crops: list[Crop]) -> None:
    """Write the 8-bit model.

    Args:
        source: The ONNX file that `video_export.export` wrote.
        target: Where the 8-bit one goes.
        crops: Training faces; the ranges of the activations come from them.
    """
    from onnxruntime import quantization  # noqa: PLC0415  # needs onnx, as only training does

    class Faces(quantization.CalibrationDataReader):  # type: ignore[misc]  # untyped base
        def __init__(self) -> None:
            self._batches = _batches(crops)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self._batches, None)

    quantization.quantize_static(
        str(source),
        str(target),
        Faces(),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Add", "Clip"],
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )


def _batches(crops: list[Crop]) -> Iterator[dict[str, NDArray[np.float32]]]:
    order = np.random.default_rng(0).permutation(len(crops))
    for first in range(0, min(len(order), BATCHES * BATCH), BATCH):
        chosen = [crops[n] for n in order[first : first + BATCH]]
        squares = np.concatenate([views_of(crop) for crop in chosen])[..., ::-1]
        yield {"faces": ((squares.transpose(0, 3, 1, 2).astype(np.float32)) - 127) / 128}


def open_scorer(path: Path) -> FaceScorer:
    """Load a model as the workers do, on one thread."""
    import onnxruntime  # noqa: PLC0415  # only measuring needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it tells of every unused number that quantising left
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return FaceScorer(session, NARROW, WIDE)


def timed_scores(scorer: FaceScorer, crops: list[Crop]) -> tuple[NDArray[Any], float]:
    """Return the scores of crops, and the processor time a face in milliseconds."""
    squares = [views_of(crop) for crop in crops]
    started = time.process_time()
    scores, _ = scorer.score_crops(squares)
    return scores, (time.process_time() - started) * 1000 / len(crops)
