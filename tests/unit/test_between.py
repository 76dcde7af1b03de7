"""Where key pictures leave a recording unseen for long, it is looked at between them."""

import numpy as np
import pytest

from workers.video.between import LONGEST_S, looks


def times_of(found):
    return [place.start_s + n * place.gap_s for place in found for n in range(place.count)]


def longest_gap(keys_s, spans, length_s, usual_s=4.0):
    inside = [time_s for at, long in spans for time_s in np.arange(at, at + long, 1.0)]
    ends = [at + long for at, long in spans]
    added = times_of(looks(keys_s, spans, length_s, usual_s))
    return np.diff(sorted([0.0, *keys_s, *inside, *ends, *added, length_s])).max()


def test_short_groups_of_pictures_need_no_more_looks():
    assert looks(list(np.arange(0, 60, 2.0)), [(0.0, 24.0)], 60.0, 4.0) == []


@pytest.mark.parametrize(
    ("group_s", "spans", "length_s"),
    [
        (10.0, [(0.0, 10.0), (20.1, 9.9)], 49.5),
        (10.0, [(10.1, 9.9)], 40.0),
        (30.0, [(0.0, 12.0)], 45.0),
        (100.0, [(40.0, 12.0)], 99.0),
    ],
)
def test_no_part_of_a_short_recording_goes_unseen_for_long(group_s, spans, length_s):
    keys_s = list(np.arange(0, length_s, group_s))
    assert longest_gap(keys_s, [], length_s) <= LONGEST_S + 1e-6
    assert longest_gap(keys_s, spans, length_s) <= LONGEST_S + 1e-6


def test_of_a_long_recording_a_small_share_may_pass_between_looks():
    keys_s = list(np.arange(0, 600, 10.0))
    assert looks(keys_s, [(0.0, 60.0)], 600.0, 4.0) == []
    assert longest_gap(keys_s[::3], [(0.0, 60.0)], 600.0) <= 600 / 48


def test_who_asks_for_fewer_looks_gets_fewer():
    assert looks(list(np.arange(0, 60, 10.0)), [], 60.0, 20.0) == []
