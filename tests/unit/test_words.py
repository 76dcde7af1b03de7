"""The console has words for whatever may become of a job, in both languages."""

import pytest

from shared import errors
from workers import phrases

pytestmark = pytest.mark.unit
#: Ends of halves and jobs that are no errors of ours.
OTHERS = {"internal_error", "no_result", "music"}
#: What somebody at the log-in may get, and what the page itself comes upon.
OTHERS |= {"unauthorized", "too_many_attempts", "unreachable", "s3_unreachable", "aborted"}


def kinds(base):
    return {base} | {kind for below in base.__subclasses__() for kind in kinds(below)}


def test_every_end_of_a_job_has_words_in_english_and_korean():
    abstract = {errors.GuardianError.code, errors.Retryable.code, errors.Permanent.code}
    abstract |= {errors.Rejected.code, errors.NotApplicable.code}
    ends = kinds(errors.GuardianError)
    named = {kind.code for kind in ends if kind.__module__ == errors.__name__}
    codes = named - abstract | OTHERS

    words = phrases.problems()
    assert {code for code in codes if f"problem_{code}" not in words} == set()
    assert all(english and korean for english, korean in words.values())
