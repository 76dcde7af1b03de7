"""The key of an upload from the page: the file's own name, as far as S3 takes it."""

import pytest

from shared.settings import UPLOADS_PREFIX
from workers.console.uploads import NewUpload, new_key

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.mp4", "a.mp4"),
        ("C:\\films\\a.mp4", "a.mp4"),
        ("긴" * 300 + ".mp4", "긴" * 196 + ".mp4"),
        ("a" * 300, "a" * 200),
        ("a." + "b" * 300, "a." + "b" * 198),
    ],
)
def test_a_long_name_is_cut_but_for_its_suffix(name, kept):
    key = new_key(NewUpload(name=name, size_bytes=1))

    assert key.startswith(UPLOADS_PREFIX)
    assert key.removeprefix(UPLOADS_PREFIX).partition("/")[2] == kept
    assert len(key.encode()) <= 1024
    assert new_key(NewUpload(name=name, size_bytes=1)) != key
