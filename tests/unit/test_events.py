"""Reading messages of the uploads queue: every wrapping, every spelling, nothing lost."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Permanent, UnparsableEvent
from workers.intake.events import parse

EVENTS = Path(__file__).parents[1] / "data" / "events"
BUCKET = "silver-guardian-uploads"


def read(name: str):
    return parse((EVENTS / f"{name}.json").read_text())


def only(name: str):
    (upload,) = read(name).uploads
    return upload


def test_each_recorded_event_is_read_by_a_test():
    text = Path(__file__).read_text()
    assert [path.stem for path in EVENTS.glob("*.json") if f'"{path.stem}"' not in text] == []


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("put", "uploads/call.mp4"),
        ("post", "uploads/call.mp4"),
        ("copy", "uploads/copied.mov"),
        ("multipart", "uploads/call.mp4"),
        ("encoded_key", "uploads/my call +통화 (final).mp4"),
        ("slash_kept", "uploads/2026/my call.mp4"),
        ("newer_minor_version", "uploads/call.mp4"),
        ("sns_put", "uploads/call.mp4"),
        ("sns_to_function", "uploads/call.mp4"),
        ("eventbridge", "uploads/call+1 통화.mp4"),
        ("sns_eventbridge", "uploads/call+1 통화.mp4"),
        ("eventbridge_other_spelling", "uploads/call+1 통화.mp4"),
    ],
)
def test_a_created_object_is_an_upload(name, key):
    upload = only(name)

    assert (upload.bucket, upload.key) == (BUCKET, key)
    assert upload.etag
    assert upload.size_bytes


def test_the_wrapping_does_not_change_the_job():
    assert only("put").job_id == only("sns_put").job_id == only("sns_to_function").job_id
    assert only("eventbridge").job_id == only("sns_eventbridge").job_id


def test_versions_are_kept_and_null_is_none():
    assert only("put_versioned").version_id == "096fKKXTRTtl3on89fVO.nfljtsv6qko"
    assert only("eventbridge_versioned").version_id == "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"
    assert only("null_version").version_id is None


def test_zero_bytes_are_an_upload_to_be_rejected_and_a_missing_size_is_unknown():
    assert only("zero_bytes").size_bytes == 0
    assert only("size_missing").size_bytes is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("folder", "folder"),
        ("removed", "ObjectRemoved:DeleteMarkerCreated"),
        ("restored", "ObjectRestore:Completed"),
        ("test_event", "s3:TestEvent"),
        ("sns_test_event", "s3:TestEvent"),
        ("eventbridge_deleted", "Object Deleted"),
    ],
)
def test_what_is_none_of_our_business_is_counted(name, kind):
    parsed = read(name)

    assert parsed.uploads == ()
    assert parsed.ignored == {kind: 1}


def test_one_message_may_hold_several_records():
    parsed = read("several_records")

    assert [upload.key for upload in parsed.uploads] == ["uploads/a.mp4", "uploads/b.mp4"]
    assert parsed.ignored == {"ObjectRemoved:Delete": 1}
    assert read("no_records").uploads == ()


@pytest.mark.parametrize(
    "path", sorted((EVENTS / "unparsable").iterdir()), ids=lambda path: path.stem
)
def test_what_cannot_be_read_is_a_typed_error(path):
    with pytest.raises(UnparsableEvent):
        parse(path.read_text())


#: Also lone surrogates, which JSON can spell and UTF-8 cannot.
TEXT = st.text(st.characters(codec=None))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_no_mutation_raises_anything_but_a_typed_error(data):
    path = data.draw(st.sampled_from(sorted(EVENTS.glob("*.json"))))
    document = json.loads(path.read_text())
    for _ in range(data.draw(st.integers(1, 4))):
        node, parent, name = document, None, None
        while isinstance(node, dict | list) and node and data.draw(st.booleans()):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            parent, name = node, data.draw(st.sampled_from(list(keys)))
            node = parent[name]
        if parent is not None:
            parent[name] = data.draw(JSON)
    text = json.dumps(document)
    with suppress(Permanent):
        for upload in parse(text).uploads:
            assert len(upload.job_id) == 32, "what is read can be stored"
            assert upload.size_bytes is None or 0 <= upload.size_bytes < 2**63


@given(st.text())
def test_no_text_raises_anything_but_a_typed_error(text):
    with suppress(Permanent):
        parse(text)
