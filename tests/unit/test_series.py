"""What a process is watched by is there before its first event, in pools too."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from shared.series import EVENT_OUTCOMES
from shared.settings import Settings
from shared.telemetry import DELIVERIES
from workers import probe
from workers.aggregator import outbox
from workers.aggregator.sweeper import KINDS

pytestmark = pytest.mark.unit
WORKERS = Path(__file__).parents[2] / "workers"
START = """
import multiprocessing
from shared import series, telemetry
from workers import health

series.begin("q", "{role}")
first = health.metrics().decode()
child = multiprocessing.get_context("fork").Process(
    target=lambda: telemetry.TASKS.labels("{role}", "error").inc()
)
child.start()
child.join()
print(first, "THEN", health.metrics().decode())
"""


def started(role, directory):
    """The metrics of a worker at its start, and after a task failed in its pool child."""
    done = subprocess.run(
        [sys.executable, "-c", START.format(role=role)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("THEN")


def values(text):
    return dict(re.findall(r"^(guardian_\S+) (\S+)$", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("intake", 'guardian_events_total{outcome="dead_letter"}'),
        ("video", 'guardian_visibility_extensions_total{outcome="lost"}'),
        ("aggregator", 'guardian_verdicts_total{label="likely_manipulated"}'),
    ],
)
def test_counters_begin_at_0_and_the_last_receive_with_the_process(tmp_path, role, shown):
    found = values(started(role, tmp_path)[0])

    assert found[shown] == "0.0"
    assert found['guardian_receive_errors_total{queue="q"}'] == "0.0"
    assert float(found['guardian_last_receive_timestamp_seconds{queue="q"}']) > 0


def test_what_a_pool_child_counts_is_added_to_the_0_of_its_worker(tmp_path):
    first, then = started("audio", tmp_path)

    name = 'guardian_tasks_total{outcome="error",task="audio"}'
    assert (values(first)[name], values(then)[name]) == ("0.0", "1.0")
    assert values(then)['guardian_tasks_total{outcome="scored",task="audio"}'] == "0.0"


def test_deliveries_and_probes_begin_at_0_where_there_are_any():
    settings = Settings(webhook_url="https://example.org/", webhook_secret="s", probe_interval_s=9)
    stopped = threading.Event()
    stopped.set()
    DELIVERIES.clear()  # of other tests in this process

    outbox.run(settings, stopped)
    probe.run(settings, stopped)

    shown = values(generate_latest(REGISTRY).decode())
    assert {
        'guardian_deliveries_total{outcome="gave_up",target="webhook"}',
        'guardian_probes_total{clip="manipulated",outcome="wrong"}',
    } <= set(shown)
    assert not any("event_bus" in name for name in shown)


@pytest.mark.parametrize(
    ("counter", "known"), [("EVENTS", EVENT_OUTCOMES), ("SWEEPER_REPAIRS", KINDS)]
)
def test_no_count_is_outside_of_what_is_shown_from_the_start(counter, known):
    text = "".join(path.read_text() for path in WORKERS.rglob("*.py"))
    calls = re.findall(rf"\b{counter}\.labels\((.*?)\)\.inc", text)
    written = {name for call in calls for name in re.findall(r'"(\w+)"', call)}

    assert calls
    assert written <= set(known)
