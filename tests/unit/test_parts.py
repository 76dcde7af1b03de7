"""What the programs that train measure on recordings of which a part is manipulated."""

from __future__ import annotations

import numpy as np
from training.parts import ROWS, partly

from shared.calibration import one_of, stretches


def test_one_manipulated_take_is_found_in_stretches_where_the_whole_drowns_it() -> None:
    genuine = [np.full(12, -2.0 + 0.01 * number) for number in range(20)]
    judges = {
        "in stretches": lambda scores: one_of(some.mean() for some in stretches(scores)),
        "as a whole": lambda scores: float(scores.mean()),
    }

    rows = partly(genuine, [np.full(12, 4.0)], judges, 0.5)

    assert list(rows) == [f"1 of {takes}" for takes in ROWS]
    assert all(row["auc, in stretches"] == row["auc, as a whole"] == 1.0 for row in rows.values())
    assert [row["alarms, in stretches"] for row in rows.values()] == [1.0, 1.0]
    assert [row["alarms, as a whole"] for row in rows.values()] == [1.0, 0.0]
    assert all(row["false alarms, in stretches"] == 0.0 for row in rows.values())
