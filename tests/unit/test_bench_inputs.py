"""The recordings that benches measure are what their names say."""

import numpy as np
import pytest
from benching import inputs

from shared.dense import read_packets
from shared.probing import probe

pytestmark = pytest.mark.unit


def test_a_recording_of_variable_rate_has_uneven_pictures(tmp_path):
    _, _, recipe = inputs._RECIPES["variable rate 720p H.264"]
    recipe(path := tmp_path / "uneven.mp4", 1.0)

    media = probe(path)
    times = read_packets(path, media, media.of_kind("video")[0]).pts_s
    intervals = np.unique(np.diff(np.sort(times)).round(3))
    assert intervals.tolist() == pytest.approx([1 / 30, 2 / 30], abs=2e-3)
