"""Manifests as people write them, and work on many files of which some are bad."""

import pytest

from shared.errors import NotMedia, SetupError
from workers import manifest, many

pytestmark = pytest.mark.unit


def written(tmp_path, content):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    return path


def test_files_are_relative_to_the_manifest_and_their_own_group_where_none_is_named(tmp_path):
    path = written(tmp_path, b"file,label,group\na.wav,spoof,one\nsub/b.wav,bonafide,\n")

    first, second = manifest.read(path, "label")

    assert (first.number, first.path, first.group) == (2, tmp_path / "a.wav", "one")
    assert (second.number, second.path, second.group) == (3, tmp_path / "sub/b.wav", "sub/b.wav")
    assert second.columns == {"file": "sub/b.wav", "label": "bonafide", "group": ""}


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbffile,label\r\n\xeb\xaa\xa9.wav,spoof\r\n")

    (line,) = manifest.read(path, "label")

    assert (line.file, line.columns["label"]) == ("목.wav", "spoof")


def test_a_short_line_has_empty_cells_and_a_long_one_is_cut(tmp_path):
    path = written(tmp_path, b"file,label,language\na.wav,spoof\nb.wav,spoof,ko,more\n")

    short, long = manifest.read(path, "label")

    assert short.columns["language"] == ""
    assert long.columns == {"file": "b.wav", "label": "spoof", "language": "ko"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the columns file, label"),
        (b"file,label\n", "the columns file, label"),
        (b"name,label\na.wav,spoof\n", "the columns file, label"),
        (b"file;label\na.wav;spoof\n", "between commas; its first line names file;label"),
        (b"file,label\n\xff\xfe.wav,spoof\n", "is not written in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path, content, message):
    with pytest.raises(SetupError, match=message):
        manifest.read(written(tmp_path, content), "label")


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    path = written(tmp_path, b"file,label\n\na.wav,spoof\n\n\nb.wav,real\n")

    assert [line.number for line in manifest.read(path)] == [3, 6]


def test_work_for_nothing_is_refused(tmp_path):
    path = written(tmp_path, b"file\na.wav\n")
    files = [line.path for line in manifest.read(path)]
    with pytest.raises(SetupError, match="None of the 1 files is there"):
        manifest.check(path, files)

    files[0].touch()
    manifest.check(path, files, tmp_path / "new.csv")
    with pytest.raises(SetupError, match="written over"):
        manifest.check(path, files, tmp_path / "." / path.name)


def test_what_is_written_can_be_read(tmp_path):
    path = tmp_path / "scores.csv"

    manifest.write(
        path, ("file", "llr", "reason"), [("a,b.wav", -0.25, None), ("c", None, "music")]
    )

    assert path.read_text() == 'file,llr,reason\n"a,b.wav",-0.25,\nc,,music\n'
    with pytest.raises(SetupError, match="cannot be written"):
        manifest.write(tmp_path / "missing" / "scores.csv", ("file",), [])


def test_results_come_in_order_whoever_is_done_first_and_each_is_told():
    told = []

    found = many.each(abs, [-3, 2, -1], 2, told=lambda *counts: told.append(counts))

    assert found == [3, 2, 1]
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_each_fault_of_a_file_has_a_reason(tmp_path):
    with pytest.raises(many.FAULTS) as missing:
        (tmp_path / "missing").read_bytes()

    assert many.reason(missing.value) == "unreadable: No such file or directory"
    assert many.reason(NotMedia("no")) == "not_media"
    assert not isinstance(SetupError("ffmpeg is missing"), many.FAULTS)  # ends the work
