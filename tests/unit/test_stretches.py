"""Which stretches of a long recording are decoded picture by picture."""

import numpy as np
import pytest

from shared.dense import Packets
from workers.video import stretches

FPS = 25


def packets(seconds, group_s=2.0, *, start_s=0.0, odd_s=None, keys=True):
    count = round(seconds * FPS)
    times = np.arange(count) / FPS
    size = np.full(count, 2000)
    key = np.zeros(count, dtype=bool)
    key[:: round(group_s * FPS)] = keys
    size[key] = 20_000
    if odd_s is not None:
        size[round(odd_s * FPS) + 1] = 30_000
    nothing = np.zeros(count)
    return Packets(
        pts_s=times + start_s,
        dts_s=times + start_s,
        duration_s=nothing,
        size_bytes=size,
        key=key,
        hidden=nothing.astype(bool),
    )


def seconds_of(spans):
    return sum(length for _, length in spans)


def test_short_recordings_are_decoded_from_end_to_end():
    assert stretches.choose(packets(28.0), 24.0) == ()


def test_a_recording_without_groups_to_begin_at_is_decoded_from_end_to_end():
    assert stretches.choose(packets(120.0, group_s=1000.0), 24.0) == ()
    assert stretches.choose(packets(120.0, keys=False), 24.0) == ()


@pytest.mark.parametrize("start_s", [0.0, 1.5, -0.08])
@pytest.mark.parametrize("length_s", [60.0, 600.0])
def test_the_budget_is_spread_over_the_recording(length_s, start_s):
    spans = stretches.choose(packets(length_s, start_s=start_s), 24.0)

    assert 0.6 * 24 <= seconds_of(spans) <= 1.1 * 24
    assert all(length >= stretches.MIN_S - 0.2 for _, length in spans)
    assert spans == tuple(sorted(spans))
    ends = [start + length for start, length in spans]
    assert all(end <= start for end, (start, _) in zip(ends, spans[1:], strict=False))
    assert spans[0][0] == 0
    assert spans[-1][0] > 0.4 * length_s


@pytest.mark.parametrize(("length_s", "group_s"), [(45.0, 30.0), (600.0, 60.0), (400.0, 1000.0)])
def test_long_groups_are_looked_at_too(length_s, group_s):
    budget_s = max(24.0, 0.1 * length_s)
    spans = stretches.choose(packets(length_s, group_s), budget_s)

    assert 0.6 * budget_s <= seconds_of(spans) <= 1.1 * budget_s
    assert spans[-1][0] + spans[-1][1] > 0.6 * length_s


def test_stretches_begin_right_after_key_pictures():
    for start_s, _ in stretches.choose(packets(60.0), 24.0):
        assert start_s % 2.0 == pytest.approx(0.1 if start_s else 0.0, abs=1e-6)


def test_a_packet_out_of_the_ordinary_draws_a_stretch():
    spans = stretches.choose(packets(600.0, odd_s=433.0), 24.0)

    assert any(start <= 433 < start + length for start, length in spans)
