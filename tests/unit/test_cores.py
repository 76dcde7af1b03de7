"""Threads are counted by the pod's share of the node."""

import pytest

from shared.cores import cores, within


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        ("max 100000", 64),
        ("400000 100000", 4),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("9900000 100000", 64),
    ],
)
def test_a_pod_of_a_large_node_has_the_cores_of_its_limit(tmp_path, limit, left):
    file = tmp_path / "cpu.max"
    file.write_text(f"{limit}\n")

    assert within(64, file) == left


def test_without_a_limit_there_are_all_cores(tmp_path):
    assert within(8, tmp_path / "cpu.max") == 8
    assert cores() >= 1
