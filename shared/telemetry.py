"""Structured logs and Prometheus metrics; every metric name is declared here, once."""

from __future__ import annotations

import hashlib
import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, Literal

import structlog
from prometheus_client import Counter, Gauge, Histogram

from shared.errors import GuardianError
from shared.visible import visible

_PACKAGES = ("shared", "workers")
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

EVENTS: Final = Counter(
    "guardian_events_total",
    "Event records read by intake, by what became of them; probes apart.",
    ["outcome"],
)
REJECTED: Final = Counter(
    "guardian_uploads_rejected_total", "Uploads rejected by intake.", ["reason"]
)
TASKS: Final = Counter(
    "guardian_tasks_total", "Tasks finished, by modality and outcome.", ["task", "outcome"]
)
STAGE_SECONDS: Final = Histogram(
    "guardian_stage_seconds", "Time of one stage of a task.", ["task", "stage"], buckets=_SECONDS
)
MEDIA_SECONDS: Final = Counter(
    "guardian_media_seconds_total", "Seconds of media analysed.", ["modality"]
)
HEARTBEATS: Final = Counter(
    "guardian_visibility_extensions_total", "Visibility extensions, by outcome.", ["outcome"]
)
RECEIVE_ERRORS: Final = Counter("guardian_receive_errors_total", "Failed SQS receives.", ["queue"])
LAST_RECEIVE: Final = Gauge(
    "guardian_last_receive_timestamp_seconds",
    "When a receive or a renewed visibility last succeeded, the queue was found paused, or the "
    "process began.",
    ["queue"],
    multiprocess_mode="mostrecent",
)
VERDICTS: Final = Counter("guardian_verdicts_total", "Verdicts given, by label.", ["label"])
SHADOW_HALVES: Final = Counter(
    "guardian_shadow_halves_total",
    "Halves scored a second time by models that decide nothing, by outcome; failed ones too.",
    ["modality", "outcome"],
)
SHADOW_VERDICTS: Final = Counter(
    "guardian_shadow_verdicts_total",
    "Verdicts by models that decide nothing, by whether the label is another one: true, false.",
    ["flip"],
)
CACHE_LOOKUPS: Final = Counter(
    "guardian_cache_lookups_total",
    "Looks for an earlier result of the same content, by what they found: hit, miss, failed.",
    ["modality", "outcome"],
)
ABSTENTIONS: Final = Counter(
    "guardian_abstentions_total",
    "Halves without a score, by reason code; those of failures too.",
    ["modality", "reason"],
)
SCORES: Final = Histogram(
    "guardian_scores",
    "Log-likelihood ratios of scored halves (natural logarithm; above 0 is manipulated).",
    ["modality"],
    buckets=(-8, -6, -4, -3, -2, -1, -0.5, 0, 0.5, 1, 2, 3, 4, 6, 8),
)
REAL_TIME_FACTOR: Final = Histogram(
    "guardian_real_time_factor",
    "Seconds of work a second of media; below 1 is faster than the recording plays.",
    ["modality"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
BATCH_SIZE: Final = Histogram(
    "guardian_batch_size",
    "Windows or faces that a network scored in one run.",
    ["modality"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
RETRIES: Final = Counter(
    "guardian_retries_total", "Messages given back after a passing fault, by task.", ["task"]
)
DEAD_LETTERS: Final = Counter(
    "guardian_dead_letters_total",
    "Messages that became dead letters, by queue and reason code.",
    ["queue", "cause"],
)
DELIVERIES: Final = Counter(
    "guardian_deliveries_total",
    "Tries to tell others of a verdict, by outcome: delivered, failed, gave_up.",
    ["target", "outcome"],
)
PROBES: Final = Counter(
    "guardian_probes_total",
    "Known clips sent through the queues, by clip and outcome: right, wrong, late, failed.",
    ["clip", "outcome"],
)
PROBE_SECONDS: Final = Gauge(
    "guardian_probe_seconds",
    "Time from the upload of the latest known clip to its verdict.",
    ["clip"],
    multiprocess_mode="mostrecent",
)
SWEEPER_REPAIRS: Final = Counter(
    "guardian_sweeper_repairs_total", "Jobs mended by the sweeper, by what was wrong.", ["kind"]
)
SWEEPS: Final = Counter("guardian_sweeps_total", "Sweeps, by how they ended.", ["outcome"])
UNREADABLE: Final = Counter(
    "guardian_rows_unreadable_total",
    "Rows passed over because another release wrote them in another form, by kind.",
    ["kind"],
)

REQUESTS: Final = Counter(
    "guardian_analyzer_requests_total",
    "Analyses asked for over HTTP, by outcome or reason code.",
    ["modality", "outcome"],
)
MODEL_LOAD_SECONDS: Final = Gauge(
    "guardian_model_load_seconds",
    "Time to verify and load the models of a half.",
    ["modality"],
    multiprocess_mode="mostrecent",
)
SELF_TEST: Final = Gauge(
    "guardian_self_test_passed",
    "1 where the known clips came out on their sides.",
    ["modality"],
    multiprocess_mode="min",
)

QUEUE_MESSAGES: Final = Gauge(
    "guardian_queue_messages",
    "Messages of a queue by state: visible, in_flight, delayed, dead; sampled by the console.",
    ["queue", "state"],
    multiprocess_mode="mostrecent",
)
OLDEST_SECONDS: Final = Gauge(
    "guardian_oldest_job_seconds",
    "Age of the job that has waited longest for the workers of a queue; sampled by the console.",
    ["queue"],
    multiprocess_mode="mostrecent",
)
RECENT_JOBS: Final = Gauge(
    "guardian_recent_jobs",
    "The newest jobs by state, two thousand at most; sampled by the console.",
    ["state"],
    multiprocess_mode="mostrecent",
)
CONSOLE_ACTIONS: Final = Counter(
    "guardian_console_actions_total", "What people did by hand in the console.", ["action"]
)


def configure_logging(
    log_format: Literal["auto", "json", "console"] = "auto", level: str = "info"
) -> None:
    """Send structlog and standard logging through one renderer to standard error."""
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        *([] if level == "debug" else [hide_keys]),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    if not as_json:
        shared.append(hide_signs)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)  # libraries; our own packages speak as the level says
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(level.upper())


def hide_signs(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what would act on the terminal that the log is read on; JSON escapes it."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = visible(value, keep="\n\t")
    return event


#: A key in a text: up to the closing quote where there is one, else up to a space.
_KEY = re.compile(r"uploads/(?!uploads/)(?:[^\s\"'?]+(?: [^\s\"'?]+)*(?=[\"'?])|[^\s\"'?]+)")


def hide_keys(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put digests in the place of object keys, wherever a message or a traceback quotes one."""
    for name, value in event.items():
        if isinstance(value, str) and "uploads/" in value:
            event[name] = _KEY.sub(lambda found: f"key:{key_digest(found[0])}", value)
    return event


@contextmanager
def passing_over(kind: str, **facts: Any) -> Iterator[None]:
    """Count and log a row that another release wrote in another form; the others must go on."""
    try:
        yield
    except (ValueError, KeyError) as error:
        UNREADABLE.labels(kind).inc()
        structlog.get_logger().error(f"{kind}_unreadable", error=str(error)[:300], **facts)


def warn_of(event: str, error: Exception, **facts: Any) -> None:
    """Log what a loop goes on after: a fault of ours in a line, any other with its traceback."""
    known = isinstance(error, GuardianError)
    structlog.get_logger().warning(event, error=str(error), exc_info=not known, **facts)


def key_digest(key: str) -> str:
    """Return a short digest of an object key; keys can carry names and stay out of info logs."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]
