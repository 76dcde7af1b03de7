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
