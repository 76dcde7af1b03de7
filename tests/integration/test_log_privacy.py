"""Logs at info level tell what happens to an upload without its name."""

import asyncio
import io
import logging
import re
from datetime import UTC, datetime

import pytest
import structlog
from click.testing import CliRunner

from shared import aws, halves, objects
from shared.errors import Retryable
from shared.jobs import JobStore
from shared.telemetry import configure_logging, hide_keys, key_digest
from workers.cli import main
from workers.intake import admission
from workers.intake.outgoing import Outgoing

pytestmark = pytest.mark.integration
KEY = "uploads/kim minsu, passport.mp4"


@pytest.fixture
def logs():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("json", "info")
    stream = io.StringIO()
    root.handlers[0].setStream(stream)
    yield stream.getvalue
    root.handlers[:] = handlers
    root.setLevel(level)


def upload_of(settings, body):
    answer = aws.client(settings, "s3").put_object(
        Bucket=settings.uploads_bucket, Key=KEY, Body=body
    )
    return objects.as_upload(settings.uploads_bucket, KEY, answer)


def take_in(settings, upload):
    async def call():
        async with aws.async_client(settings, "s3") as s3:
            desk = admission.Desk(settings, s3, JobStore(settings), Outgoing(settings))
            await admission.take_in(desk, upload)

    asyncio.run(call())


def test_what_intake_and_workers_say_holds_no_key(aws_settings, sending, logs):
    take_in(aws_settings, upload_of(aws_settings, b"not a recording"))
    upload = upload_of(aws_settings, b"fLaC and then nothing")
    take_in(aws_settings, upload)
    halves.run_half(aws_settings, "audio", upload.job_id, lambda *_: None)
    JobStore(aws_settings).create(upload, datetime.now(UTC))

    said = logs()
    assert key_digest(KEY) in said
    assert '"rejected"' in said
    assert '"half_done"' in said
    assert "minsu" not in said


def test_an_address_that_cannot_be_reached_is_told_without_the_key(aws_settings, logs):
    upload = upload_of(aws_settings, b"fLaC")
    job = JobStore(aws_settings).create(upload, datetime.now(UTC)).job
    away = aws_settings.model_copy(update={"endpoint_url": "http://127.0.0.1:9"})
    store = JobStore(aws_settings)

    with pytest.raises(Retryable):
        halves.run_half(away, "audio", job.job_id, lambda *_: None)
    logging.getLogger("shared.test").error("no %s", f'"http://a/b/{KEY}?x=1" and {upload!r}')
    assert store.get(job.job_id).key == KEY

    assert "minsu" not in logs()


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f'to "http://a:1/b-uploads/{KEY}"', 'to "http://a:1/b-uploads/key:{}"'),
        ("uploads/kim.mp4 is gone", "key:{} is gone"),
        ("queue b-uploads is empty", "queue b-uploads is empty"),
    ],
)
def test_keys_are_replaced_wherever_they_are_quoted(text, hidden):
    key = "uploads/kim.mp4" if "kim.mp4" in text else KEY

    assert hide_keys(None, "", {"event": text})["event"] == hidden.format(key_digest(key))


def test_a_log_that_a_person_reads_cannot_act_on_the_terminal(logs):
    stream = logging.getLogger().handlers[0].stream
    configure_logging("console", "info")
    logging.getLogger().handlers[0].setStream(stream)
    log = structlog.stdlib.get_logger("workers.example")
    fault = ValueError("bad \x1b]0;title\x07 name\nand a second line")
    log.error("failed", code="\x1b[8m", exc_info=fault)

    text = re.sub(r"\x1b\[[0-9;]*m", "", logs())  # colours are the renderer's own
    assert "ValueError: bad �]0;title� name\nand a second line\n" in text
    assert "code=�[8m" in text
    assert "\x1b" not in text


def test_a_command_in_the_same_process_leaves_logs_that_can_be_written(logs):
    CliRunner().invoke(main, ["verify", "no-such-report.json"])

    structlog.stdlib.get_logger("workers.example").warning("still_there", number=1)
