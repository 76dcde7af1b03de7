"""Boosted trees over the statistics of a window, and the same trees as an ONNX node.

Several runs of boosting from different seeds are averaged: one set of trees, not more members.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

Floats = NDArray[np.float64]
Figures = NDArray[np.float32]

#: Shape of the trees; chosen by the AUC on unseen sources.
TREES = 120
SHAPE = {
    "learning_rate": 0.08,
    "num_leaves": 10,
    "lambda_l2": 5.0,
    "feature_fraction_bynode": 0.2,
    "min_data_in_leaf": 20,
    "max_bin": 63,
}
#: Runs that are averaged.
RUNS = 3
#: Log-odds are clipped here, so that the trees alone never decide.
LIMIT = 4.0


def grow(
    figures: Figures, fake: NDArray[np.bool_], weights: Floats, seed: int
) -> list[lightgbm.Booster]:
    """Fit trees to statistics (windows, figures); both classes get the same total weight."""
    scaled = weights.copy()
    for truth in (True, False):
        scaled[fake == truth] *= fake.size / 2 / weights[fake == truth].sum()
    fixed = {"objective": "binary", "num_threads": 1, "deterministic": True, "verbosity": -1}
    return [
        lightgbm.train(
            {**SHAPE, **fixed, "force_col_wise": True, "seed": seed + run},
            lightgbm.Dataset(figures, fake, weight=scaled),
            num_boost_round=TREES,
        )
        for run in range(RUNS)
    ]


def log_odds(models: list[lightgbm.Booster], figures: Figures) -> Floats:
    """Return the clipped mean log-odds of statistics (windows, figures)."""
    odds = np.mean([model.predict(figures, raw_score=True) for model in models], axis=0)
    return np.clip(np.asarray(odds), -LIMIT, LIMIT)


def tree_node(models: list[lightgbm.Booster], source: str, target: str) -> NodeProto:
    """Return an ONNX node that maps statistics (batch, figures) to log-odds (batch, 1)."""
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            *("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values"),
            *("nodes_modes", "nodes_truenodeids", "nodes_falsenodeids"),
            *("target_treeids", "target_nodeids", "target_ids", "target_weights"),
        )
    }
    roots = [tree["tree_structure"] for model in models for tree in model.dump_model()["tree_info"]]
    for number, root in enumerate(roots):
        for index, node, yes, no in _nodes(root):
            leaf = "leaf_value" in node
            row = (
                *(number, index, 0 if leaf else node["split_feature"]),
                *(0.0 if leaf else _below(node["threshold"]), "LEAF" if leaf else "BRANCH_LEQ"),
                *(yes, no),
            )
            for name, value in zip(list(columns)[:7], row, strict=True):
                columns[name].append(value)
            if leaf:
                final = (number, index, 0, node["leaf_value"] / len(models))
                for name, value in zip(list(columns)[7:], final, strict=True):
                    columns[name].append(value)
    return helper.make_node(
        "TreeEnsembleRegressor",
        [source],
        [target],
        domain="ai.onnx.ml",
        n_targets=1,
        post_transform="NONE",
        **columns,
    )


def _nodes(root: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any], int, int]]:
    """Yield every node of a tree with its number and those of its children."""
    waiting, count = [(0, root)], 1
    while waiting:
        index, node = waiting.pop()
        if "leaf_value" in node:
            yield index, node, 0, 0
            continue
        yield index, node, count, count + 1
        waiting += [(count, node["left_child"]), (count + 1, node["right_child"])]
        count += 2


def _below(threshold: float) -> float:
    """Return the largest number in single precision that is not above a threshold."""
    rounded = np.float32(threshold)
    return float(rounded if rounded <= threshold else np.nextafter(rounded, np.float32(-np.inf)))
