"""One trace an upload: its id is the job's, and every step of the way is in it."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import halves, tracing
from shared.errors import ServiceUnavailable, SetupError
from shared.models import Registry
from shared.records import Analysis, Outcome, PartialResult
from shared.settings import Settings
from workers.aggregator import fusion, service
from workers.samples import SAMPLES

pytestmark = pytest.mark.integration


@pytest.fixture
def spans(monkeypatch):
    monkeypatch.setattr(tracing, "_tracer", None)
    exporter = InMemorySpanExporter()
    tracing.configure(Settings(), "test", exporter)
    yield exporter.get_finished_spans
    monkeypatch.setattr(tracing, "_tracer", None)


def half(modality):
    return PartialResult(modality=modality, outcome=Outcome.SCORED, llr=-1.0)


async def test_every_step_of_an_upload_lies_in_one_trace(house, spans):
    upload = house.put("uploads/a.mp4", SAMPLES[0].read_bytes())
    await house.drain()
    for modality in ("audio", "video"):
        halves.run_half(
            house.settings, modality, upload.job_id, lambda *_, m=modality: Analysis(half(m))
        )
    model = fusion.load(Registry())
    service.conclude(house.settings, house.store, upload.job_id, model, datetime.now(UTC))

    found = {span.name: span for span in spans() if span.context.trace_id == int(upload.job_id, 16)}
    whole = found.pop("upload")
    assert set(found) == {"intake", "audio", "video", "verdict"}
    assert whole.parent is None
    assert {span.parent.span_id for span in found.values()} == {whole.context.span_id}
    assert whole.attributes["label"] == house.store.get(upload.job_id).verdict.label
    assert whole.start_time <= found["audio"].start_time <= whole.end_time


def test_a_step_that_fails_says_so_in_its_span(house, spans):
    upload = house.put("uploads/b.mp4", SAMPLES[0].read_bytes())
    house.store.create(upload, datetime.now(UTC))

    def fault(*_):
        raise ServiceUnavailable

    with pytest.raises(ServiceUnavailable):
        halves.run_half(house.settings, "audio", upload.job_id, fault)
    (span,) = spans()
    assert not span.status.is_ok
    assert span.events[0].name == "exception"


def test_without_a_collector_nothing_is_recorded_or_imported():
    code = (
        "import sys; from shared import tracing; from shared.settings import Settings\n"
        "tracing.configure(Settings(), 'x')\n"
        "with tracing.span('0' * 31 + '1', 'y'): pass\n"
        "assert 'opentelemetry' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_collector_without_the_extra_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SetupError, match="traces"):
        tracing.configure(Settings(traces_url="http://127.0.0.1:4318/v1/traces"), "x")
