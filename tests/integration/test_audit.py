"""The audit list says what people did, and what they only tried."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from click.testing import CliRunner

from shared import audit, flags, items
from shared.errors import ServiceUnavailable
from shared.telemetry import UNREADABLE
from workers.cli import main
from workers.commands import operating
from workers.console import actions, app

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)


def outcomes(settings):
    return [(entry.action, entry.failed) for entry in audit.newest(settings)]


@pytest.fixture
def command(aws_settings, monkeypatch):
    monkeypatch.setattr(operating, "installation", lambda: aws_settings)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_a_command_that_was_refused_or_failed_is_not_told_as_done(
    aws_settings, command, monkeypatch
):
    assert command("pause", "audio").exit_code == 0
    assert command("dlq", "redrive", "audio", "--id", "none").exit_code == 1
    monkeypatch.setattr(flags, "resume", lambda *_: 1 / 0)
    assert isinstance(command("resume", "audio").exception, ZeroDivisionError)

    assert outcomes(aws_settings) == [
        ("resume", "internal_error"),
        ("redrive", "unknown_letter"),
        ("pause", None),
    ]


async def test_nor_is_what_the_console_refuses(aws_settings):
    console = httpx.ASGITransport(app.create(aws_settings, lambda *_: ""))
    large = {"name": "a.mp4", "size_bytes": aws_settings.max_upload_bytes + 1}

    async with httpx.AsyncClient(transport=console, base_url="http://127.0.0.1") as client:
        client.headers[actions.INTENT_HEADER] = "1"
        await client.post(f"/api/jobs/{'f0' * 16}/retry")
        await client.post("/api/queues/audio/pause")
        await client.post("/api/uploads", json=large)

    assert outcomes(aws_settings) == [
        ("upload", "too_large"),
        ("pause", None),
        ("retry", "unknown_job"),
    ]


def test_what_cannot_be_written_down_is_not_done(aws_settings, monkeypatch):
    def fail(*_):
        raise ServiceUnavailable

    monkeypatch.setattr(items, "put", fail)

    with (
        pytest.raises(ServiceUnavailable),
        audit.noted(aws_settings, "somebody", "pause", "audio", NOW),
    ):
        pytest.fail("was done")


def test_an_entry_of_another_release_hides_no_other(aws_settings, command):
    command("pause", "audio")
    items.put(aws_settings, "audit", "strange", {"at": "in another form"}, NOW, 60)
    before = UNREADABLE.labels("audit")._value.get()

    assert outcomes(aws_settings) == [("pause", None)]
    assert UNREADABLE.labels("audit")._value.get() == before + 1


def test_the_list_goes_on_where_a_page_of_it_ended(aws_settings):
    times = [NOW - timedelta(seconds=age) for age in range(5)]
    for time in times:
        with audit.noted(aws_settings, "somebody", "pause", "audio", time):
            pass
    items.put(aws_settings, "audit", "strange", {"at": "in another form"}, times[2], 60)

    first = audit.newest(aws_settings, limit=3)
    rest = audit.newest(aws_settings, limit=3, before=first[-1].at)
    assert [entry.at for entry in (*first, *rest)] == times
