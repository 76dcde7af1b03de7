"""What a manifest says of its files."""

import pytest

from shared.errors import SetupError
from workers import evaluate

pytestmark = pytest.mark.unit


def read(tmp_path, *lines):
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *lines]))
    return [row.fake for row in evaluate.read_manifest(tmp_path / "list.csv")]


def test_labels_of_either_half_are_known(tmp_path):
    assert read(tmp_path, "a,real", "b,bonafide", "c,fake", "d,spoof") == [False, False, True, True]


def test_a_file_may_be_named_twice_and_not_be_both(tmp_path):
    assert read(tmp_path, "a,real", "a,bonafide") == [False, False]
    with pytest.raises(SetupError, match=r"Lines 2 and 4 of .* a is real, and spoof"):
        read(tmp_path, "a,real", "b,fake", "a,spoof")


@pytest.mark.parametrize(
    ("against_real", "left_out"),
    [(False, {"kind": 2, "group": 3}), (True, {"kind": 1, "group": 3})],
)
def test_values_that_are_too_many_to_report_are_counted(
    tmp_path, monkeypatch, against_real, left_out
):
    monkeypatch.setattr(evaluate, "MAX_VALUES", 1)
    lines = ["a,real,none", "b,fake,swap", "c,fake,swap", "d,fake,blend"]
    (tmp_path / "list.csv").write_text("\n".join(["file,label,kind", *lines]))
    rows = evaluate.read_manifest(tmp_path / "list.csv")
    scored = [evaluate.Scored(0.0, None, 1.0) for _ in rows]

    report = evaluate.report(rows, scored, 0.0, ["kind"], 1.0, against_real=against_real)

    assert report["left_out"] == left_out
    assert list(report["by_group"]) == ["a"]
    assert {name: by["n"] for name, by in report["by"]["kind"].items()} == {
        "swap": 3 if against_real else 2  # with the real one
    }
