"""The key of an upload from the page: the file's own name, as far as S3 takes it."""

import pytest

from shared.errors import TooLarge
from shared.settings import UPLOADS_PREFIX, Settings
from workers.console.uploads import NewUpload, begin, new_key

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.mp4", "a.mp4"),
        ("C:\\films\\a.mp4", "a.mp4"),
        ("긴" * 300 + ".mp4", "긴" * 196 + ".mp4"),
        ("a" * 300, "a" * 200),
        ("a." + "b" * 300, "a." + "b" * 198),
        ("회의\u202f1\n\x00\uffff.mp4", "회의\u202f1___.mp4"),
    ],
)
def test_a_name_is_kept_as_far_as_s3_takes_it(name, kept):
    key = new_key(NewUpload(name=name, size_bytes=1))

    assert key.startswith(UPLOADS_PREFIX)
    assert key.removeprefix(UPLOADS_PREFIX).partition("/")[2] == kept
    assert len(key.encode()) <= 1024
    assert new_key(NewUpload(name=name, size_bytes=1)) != key


def test_a_file_that_is_too_large_is_told_the_limit_in_force():
    new = NewUpload(name="a.mp4", size_bytes=1001)

    with pytest.raises(TooLarge, match="At most 1000 bytes are analysed"):
        begin(Settings(max_upload_bytes=1000), new, new_key(new))
