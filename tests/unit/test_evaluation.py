"""The measures agree with arithmetic done by hand and with their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import evaluation as ev

pytestmark = pytest.mark.unit


def _set(fakes, reals):
    llr = np.array([*fakes, *reals], dtype=float)
    return llr, np.array([True] * len(fakes) + [False] * len(reals))


def test_auc_counts_pairs_and_half_of_ties():
    # pairs: (2,1)=1 (2,2)=½ (3,1)=1 (3,2)=1 -> 3.5 / 4
    assert ev.auc(*_set([2, 3], [1, 2])) == pytest.approx(3.5 / 4)


def test_eer_of_separated_inverted_and_mixed_scores():
    assert ev.eer(*_set([3, 4], [1, 2])) == 0
    assert ev.eer(*_set([1, 2], [3, 4])) == 1
    # at a threshold between 2 and 3 one of four fakes is missed and one of four reals alarms
    assert ev.eer(*_set([1, 5, 6, 7], [0, 0.5, 2, 9])) == pytest.approx(0.25)


def test_eer_of_one_score_for_all_is_one_half():
    assert ev.eer(*_set([1, 1, 1], [1, 1, 1])) == pytest.approx(0.5)


def test_cllr_of_no_information_is_one_bit():
    assert ev.cllr(*_set([0, 0], [0, 0, 0])) == pytest.approx(1)
    assert ev.min_cllr(*_set([0, 0], [0, 0, 0])) == pytest.approx(1)


def test_cllr_by_hand():
    expected = (math.log2(1 + math.exp(-1)) + math.log2(1 + math.exp(-2))) / 2
    assert ev.cllr(*_set([1], [-2])) == pytest.approx(expected)


def test_min_cllr_of_a_perfect_order_is_zero_whatever_the_scale():
    assert ev.min_cllr(*_set([-90, -80], [-100, -95])) == pytest.approx(0)


@given(st.lists(st.tuples(st.floats(-8, 8), st.booleans()), min_size=4, max_size=40))
def test_recalibration_never_costs(items):
    llr = np.array([score for score, _ in items])
    fake = np.array([truth for _, truth in items])
    if fake.all() or not fake.any():
        return
    assert ev.min_cllr(llr, fake) <= ev.cllr(llr, fake) + 1e-9
    assert ev.auc(llr, fake) == pytest.approx(1 - ev.auc(-llr, fake))
    assert 0 <= ev.eer(llr, fake) <= 1


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_isotonic_is_ordered_and_keeps_the_mean(values):
    fitted = ev.isotonic(np.array(values))
    assert (np.diff(fitted) >= -1e-9).all()
    assert fitted.mean() == pytest.approx(np.mean(values), abs=1e-9)


def test_ece_of_sure_and_right_is_zero_and_of_sure_and_wrong_is_one():
    assert ev.ece(*_set([50, 50], [-50, -50, -50])) == pytest.approx(0)
    assert ev.ece(*_set([-50, -50], [50, 50])) == pytest.approx(1)


def test_ece_does_not_depend_on_the_share_of_fakes():
    few, many = _set([1, 1], [-1] * 2), _set([1, 1], [-1] * 200)
    assert ev.ece(*few) == pytest.approx(ev.ece(*many))


def test_fpr_counts_genuine_items_at_the_threshold():
    assert ev.fpr(*_set([0], [1, 2, 3, 4]), threshold=3) == 0.5
    with pytest.raises(ValueError):
        ev.fpr(*_set([1], []), threshold=0)


def test_groups_widen_the_interval():
    rng = np.random.default_rng(3)
    truth = np.repeat([True, False], 100)
    shift = np.repeat(rng.normal(0, 1.5, 10), 20)  # ten groups of twenty alike items
    llr = rng.normal(0, 1, 200) + truth + shift
    alone = ev.bootstrap(ev.auc, llr, truth, [str(i) for i in range(200)])
    grouped = ev.bootstrap(ev.auc, llr, truth, [str(i // 20) for i in range(200)])
    assert alone.low < alone.value < alone.high
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_one_group_of_a_class_has_no_interval_of_what_depends_on_it():
    summary = ev.summarise(*_set([1, 2, 3], [0, -1, 2, 1]), list("aaabcde"), threshold=1.5)
    assert summary["auc"] is not None
    assert summary["auc_ci"] == [None, None]
    assert summary["eer_ci"] == [None, None]
    assert None not in summary["fpr_at_threshold_ci"]


def test_the_interval_is_the_same_on_every_run():
    llr, fake = _set([1, 2, 3, 0], [0, -1, 2, 1])
    groups = list("abcdefgh")
    assert ev.bootstrap(ev.auc, llr, fake, groups) == ev.bootstrap(ev.auc, llr, fake, groups)


def test_one_class_alone_has_no_auc_but_has_an_fpr():
    summary = ev.summarise(*_set([], [0.0, 2.0]), ["a", "b"], threshold=1.0)
    assert summary["auc"] is None
    assert summary["eer"] is None
    assert summary["fpr_at_threshold"] == 0.5
    assert summary["tpr_at_threshold"] is None
