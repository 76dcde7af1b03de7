"""When a message whose task failed comes again."""

import pytest

from shared.errors import NotMedia, ServiceUnavailable, SetupError
from shared.settings import Settings
from shared.visibility import wait_s

pytestmark = pytest.mark.unit
#: Receives after which the message comes again; one more, and it is a dead letter.
ATTEMPTS = range(1, Settings().max_receive_count)


def test_a_passing_fault_has_minutes_to_pass():
    waits = [wait_s(Settings(), ServiceUnavailable("throttled"), attempt) for attempt in ATTEMPTS]

    assert waits == sorted(waits)
    assert waits[0] < 10
    assert 300 < sum(waits) < 900


def test_a_fault_of_the_installation_leaves_an_hour_to_mend_it():
    error = SetupError("a right is missing")

    assert sum(wait_s(Settings(), error, attempt) for attempt in ATTEMPTS) >= 3600


def test_no_message_waits_longer_than_the_operator_wants():
    settings, error = Settings(max_retry_wait_s=20), ServiceUnavailable("throttled")

    assert [wait_s(settings, error, attempt) for attempt in (1, 2, 3, 9)] == [4, 16, 20, 20]
    assert wait_s(settings, SetupError("a right is missing"), 1) == 20


def test_a_fault_of_the_message_changes_nothing_of_its_visibility():
    assert wait_s(Settings(), NotMedia(), 1) is None
    assert wait_s(Settings(), RuntimeError(), 1) is None
