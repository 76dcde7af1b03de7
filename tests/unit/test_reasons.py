"""The registry of reasons: complete, in two languages, and never claiming more than is known."""

import re

import pytest

from shared import errors
from shared.records import Label, Reason
from workers import phrases
from workers.aggregator import reasons, wording

HANGUL = re.compile("[가-힣]")


def subclasses(kind):
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in subclasses(child))]


def every_text():
    for code, entry in reasons.REGISTRY.items():
        yield code, entry.en
        yield code, entry.ko
    for table in (wording.HEADLINES, wording.NEXT_STEPS):
        for label, texts in table.items():
            yield from ((label, text) for text in texts.values())


@pytest.mark.parametrize(("name", "text"), list(every_text()))
def test_no_text_overclaims(name, text):
    assert wording.OVERCLAIMS.search(text) is None


@pytest.mark.parametrize(
    "text", ["This proves it.", "Definitely fake", "100 % sure", "확실히 조작"]
)
def test_the_linter_finds_overclaiming(text):
    assert wording.OVERCLAIMS.search(text)


@pytest.mark.parametrize(("code", "entry"), list(reasons.REGISTRY.items()))
def test_every_reason_has_both_languages_and_says_when_it_arises(code, entry):
    assert entry.when.endswith(".")
    assert entry.en.endswith(".")
    assert HANGUL.search(entry.ko)
    assert not HANGUL.search(entry.en)
    assert ("{at}" in entry.en) == ("{at}" in entry.ko)


@pytest.mark.parametrize("kind", subclasses(errors.NotApplicable)[1:])
def test_every_typed_non_answer_has_a_reason(kind):
    assert kind.code in reasons.REGISTRY


@pytest.mark.parametrize("label", Label)
def test_every_label_has_a_headline_and_a_next_step_in_both_languages(label):
    for table in (wording.HEADLINES, wording.NEXT_STEPS):
        assert set(phrases.LANGUAGES) == set(table[label])


@pytest.mark.parametrize("label", Label)
def test_every_next_step_says_to_call_on_a_known_number(label):
    assert "number you already know" in wording.NEXT_STEPS[label]["en"]
    assert "알고 있던 번호" in wording.NEXT_STEPS[label]["ko"]


@pytest.mark.parametrize("label", Label)
def test_no_korean_headline_or_next_step_calls_a_sound_recording_a_video(label):
    for table in (wording.HEADLINES, wording.NEXT_STEPS):
        assert "영상" not in table[label]["ko"]


def test_a_reason_with_a_span_names_it_in_both_languages():
    reason = reasons.make("voice_signs", 2.0, 64.2, 71.0)

    assert reason.text.endswith(", from 1:04 to 1:11.")
    assert "(1:04~1:11)" in reasons.text(reason, "ko")


def test_a_reason_of_a_newer_version_keeps_its_stored_text():
    assert reasons.text(Reason(code="unheard_of", text="A new text."), "ko") == "A new text."


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3723, "1:02:03")]
)
def test_times_read_as_on_a_player(seconds, text):
    assert text == reasons.clock(seconds)
