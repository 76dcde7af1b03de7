"""Boosted trees over the statistics of bands and cepstra, and the same trees as an ONNX node.

Several runs of boosting from different seeds are averaged: one set of trees, not more members.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier

Floats = NDArray[np.float64]
Figures = NDArray[np.float32]

#: Shape of the trees; chosen by the AUC on unseen sources.
TREES, LEAVES, RATE = 120, 10, 0.08
#: Runs that are averaged, and bins of a figure; few, for speed.
RUNS, BINS = 3, 63
#: Log-odds are clipped here, so that the trees alone never decide.
LIMIT = 4.0


def grow(
    figures: Figures, fake: NDArray[np.bool_], weights: Floats, seed: int
) -> list[HistGradientBoostingClassifier]:
    """Fit trees to statistics (windows, figures); both classes get the same total weight."""
    scaled = weights.copy()
    for truth in (True, False):
        scaled[fake == truth] *= fake.size / 2 / weights[fake == truth].sum()
    return [
        HistGradientBoostingClassifier(
            max_iter=TREES,
            learning_rate=RATE,
            max_leaf_nodes=LEAVES,
            l2_regularization=5.0,
            max_features=0.2,
            min_samples_leaf=20,
            max_bins=BINS,
            random_state=seed + run,
        ).fit(figures, fake, scaled)
        for run in range(RUNS)
    ]


def log_odds(models: list[HistGradientBoostingClassifier], figures: Figures) -> Floats:
    """Return the clipped mean log-odds of statistics (windows, figures)."""
    odds = np.mean([model.decision_function(figures) for model in models], axis=0)
    return np.clip(np.asarray(odds), -LIMIT, LIMIT)


def tree_node(models: list[Any], source: str, target: str) -> NodeProto:
    """Return an ONNX node that maps statistics (batch, figures) to log-odds (batch, 1)."""
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            *("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values"),
            *("nodes_modes", "nodes_truenodeids", "nodes_falsenodeids"),
            *("target_treeids", "target_nodeids", "target_ids", "target_weights"),
        )
    }
    grown = [tree for model in models for (tree,) in model._predictors]  # noqa: SLF001  # no public way
    for number, tree in enumerate(grown):
        for index, node in enumerate(tree.nodes):
            leaf = bool(node["is_leaf"])
            row = (
                *(number, index, 0 if leaf else int(node["feature_idx"])),
                *(0.0 if leaf else float(node["num_threshold"]), "LEAF" if leaf else "BRANCH_LEQ"),
                *(0 if leaf else int(node["left"]), 0 if leaf else int(node["right"])),
            )
            for name, value in zip(list(columns)[:7], row, strict=True):
                columns[name].append(value)
            if leaf:
                final = (number, index, 0, float(node["value"]) / len(models))
                for name, value in zip(list(columns)[7:], final, strict=True):
                    columns[name].append(value)
    return helper.make_node(
        "TreeEnsembleRegressor",
        [source],
        [target],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[float(np.mean([model._baseline_prediction for model in models]))],  # noqa: SLF001  # the same
        post_transform="NONE",
        **columns,
    )
