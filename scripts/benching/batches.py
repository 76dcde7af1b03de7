"""How long a network takes for inputs at once, alone, on noise: which batch saturates a machine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benching.metering import MeteredRegistry
from benching.spending import measured

ON_CPU, ON_GPU, QUICK = (1, 2, 4, 8, 16), (1, 4, 16, 64, 256), (1, 2)


def rows(
    registry: MeteredRegistry, model: str, one: str, *, gpu: bool, quick: bool
) -> list[dict[str, Any]]:
    """Time a network on batches; on a CPU with one thread, with all, and as the product runs it.

    All threads work inside each operator, or each on rows of its own (`Registry.scorer`).

    Args:
        registry: Opens the network.
        model: Its name; the first axis of its input is the batch.
        one: What one input is called.
        gpu: The network runs on a GPU.
        quick: Small batches only.
    """
    out = []
    rng = np.random.default_rng(0)
    for way, network in _opened(registry, model, gpu=gpu):
        asked = network.get_inputs()[0]
        for batch in QUICK if quick else ON_GPU if gpu else ON_CPU:
            noise = rng.standard_normal((batch, *asked.shape[1:])).astype(np.float32) * 0.1
            call = partial(network.run, None, {asked.name: noise})
            call()
            spent = min((measured(call)[0] for _ in range(3)), key=lambda spent: spent.wall_s)
            out.append(
                {
                    "threads": way,
                    f"{one}s at once": batch,
                    f"ms CPU a {one}": round(1000 * spent.cpu_s / batch, 2),
                    f"ms on the clock a {one}": round(1000 * spent.wall_s / batch, 2),
                }
            )
    return out


def _opened(registry: MeteredRegistry, model: str, *, gpu: bool) -> Iterator[tuple[str, Any]]:
    """Open the network in every way, one after the other."""
    if gpu:
        yield "GPU", registry.session(model)
        return
    yield "1", registry.session(model, threads=1)
    yield "all, inside operators", registry.session(model, threads=0)
    yield "all, rows side by side", registry.scorer(model)
