"""The Celery app: queue and task names, delivery policy, and one typed function a message.

Delivery is at least once. A message is acknowledged when its result is stored, a failing task
leaves its message to SQS and its dead-letter queue, and visibility is extended by
`shared.visibility` while a task runs.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun
from kombu import Queue
from kombu.transport import TRANSPORT_ALIASES

from shared import aws, sqs_transport, tracing
from shared.errors import ServiceUnavailable, SetupError
from shared.records import SCHEMA_VERSION, Modality
from shared.settings import QUEUES, Settings, get_settings
from shared.telemetry import configure_logging

TRANSPORT_ALIASES["guardian-sqs"] = "shared.sqs_transport:Transport"

AUDIO_TASK = "audio.analyze"
VIDEO_TASK = "video.analyze"
DECIDE_TASK = "aggregator.decide"

Role = Literal["audio", "video", "aggregator"]
#: Which queue each kind of Celery worker consumes.
ROLE_QUEUES: dict[Role, str] = {"audio": "audio", "video": "video", "aggregator": "aggregate"}
_TASK_OF: dict[Modality, str] = {"audio": AUDIO_TASK, "video": VIDEO_TASK}
_TASK_QUEUES = {AUDIO_TASK: "audio", VIDEO_TASK: "video", DECIDE_TASK: "aggregate"}
_TASK_MODULES: dict[Role, str] = {role: f"workers.{role}.task" for role in ROLE_QUEUES}
#: Pause after an empty or full look at the queue; kombu's default of 1 s caps a worker at 1 task/s.
_POLLING_INTERVAL_S = 0.1
#: A pool child loads models before it is ready.
CHILD_START_S = 180.0
#: What a pool child does when it is told to end, but while it works.
_unwind: Any = signal.SIG_DFL


class _App(Celery):
    """An app that pool children, which are spawned, find again in this module, configured."""

    role: Role | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the call that configures the child's own app."""
        known = self.conf.broker_transport_options["predefined_queues"]
        urls = {name: options["url"] for name, options in known.items()}
        return _configured_from_environment, (self.role, urls)


def _configured_from_environment(role: Role | None, urls: dict[str, str]) -> Celery:
    return configure(get_settings(), role, urls)


app = _App("silver-guardian", set_as_current=True)


@lru_cache(maxsize=16)
def queue_url(settings: Settings, queue: str) -> str:
    """Return the URL of a queue by its full name.

    Raises:
        SetupError: There is no such queue, or no right to look it up.
        ServiceUnavailable: SQS could not be asked.
    """
    if settings.queue_base_url:
        return f"{settings.queue_base_url.rstrip('/')}/{queue}"
    with aws.translated(f"looking up queue {queue}"):
        url: str = aws.client(settings, "sqs").get_queue_url(QueueName=queue)["QueueUrl"]
    return url


def configure(
    settings: Settings, role: Role | None = None, urls: dict[str, str] | None = None
) -> Celery:
    """Apply the delivery policy to the app.

    Args:
        settings: Which installation.
        role: The worker that this process will be, if any.
        urls: The queues' URLs by full name, where a parent has looked them up already.

    Raises:
        SetupError: A queue does not exist.
        ServiceUnavailable: SQS could not be asked for a URL.
    """
    names = [settings.queue(name) for name in QUEUES if name != "uploads"]
    urls = urls or {name: queue_url(settings, name) for name in names}
    app.role = role
    app.conf.update(
        broker_url="guardian-sqs://",
        broker_transport_options={
            "region": settings.region,
            "predefined_queues": {name: {"url": url} for name, url in urls.items()},
            "wait_time_seconds": settings.receive_wait_s,
            "polling_interval": _POLLING_INTERVAL_S,
            "sqs_base64_encoding": False,
        },
        broker_connection_retry_on_startup=True,
        task_queues=[Queue(name, routing_key=name) for name in names],
        task_default_queue=settings.queue("aggregate"),
        task_routes={task: {"queue": settings.queue(name)} for task, name in _TASK_QUEUES.items()},
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=False,
        task_time_limit=settings.job_timeout_s,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_pool="prefork",
        worker_pool_start_method="spawn",
        worker_proc_alive_timeout=CHILD_START_S,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        imports=[_TASK_MODULES[role]] if role else [],
    )
    return app


@setup_logging.connect
def _use_our_logging(**_: object) -> None:
    """Keep Celery from installing its own log handlers, in parents and in pool children."""
    settings = get_settings()
    configure_logging(settings.log_format, settings.log_level)
    tracing.configure(settings, app.role or "client")


@task_prerun.connect
def _end_at_once(**_: object) -> None:
    """Let a child that is told to end while it works, as where a task hangs, end without a word.

    Billiard's own handler unwinds, and tells of the end through a pipe with a lock. The next signal
    may end the child in the middle of that, and every child after it would wait for the lock.
    """
    global _unwind  # noqa: PLW0603  # one a process, as the handlers are
    _unwind = signal.signal(signal.SIGTERM, signal.SIG_DFL)


@task_postrun.connect
def _unwind_again(**_: object) -> None:
    """Outside of tasks, where the child holds such locks, billiard's handler lets go of them."""
    signal.signal(signal.SIGTERM, _unwind)


def send_analysis(settings: Settings, modality: Modality, job_id: str) -> None:
    """Ask for one half of a job.

    Raises:
        ServiceUnavailable: SQS did not take the message; send it again later.
    """
    _send(settings, _TASK_OF[modality], job_id)


def send_analyses(
    settings: Settings, modality: Modality, job_ids: Sequence[str]
) -> dict[str, Exception]:
    """Ask for one half of up to ten jobs in one call.

    Returns:
        The jobs whose message SQS did not take, with the cause; send those again later.

    Raises:
        ServiceUnavailable: SQS took none of them.
    """
    task = _TASK_OF[modality]
    requests = [_request(settings, task, job_id) for job_id in job_ids]
    entries = [
        {"Id": str(at), "MessageBody": request["MessageBody"]}
        for at, request in enumerate(requests)
    ]
    with aws.translated(f"sending {task}"):
        answer = aws.client(settings, "sqs").send_message_batch(
            QueueUrl=requests[0]["QueueUrl"], Entries=entries
        )
    return {
        job_ids[int(row["Id"])]: ServiceUnavailable(f"SQS did not take the task: {row['Code']}.")
        for row in answer.get("Failed", [])
    }


def send_decision(settings: Settings, job_id: str) -> None:
    """Ask for the verdict of a job.

    Raises:
        ServiceUnavailable: SQS did not take the message; send it again later.
    """
    _send(settings, DECIDE_TASK, job_id)


def _send(settings: Settings, task: str, job_id: str) -> None:
    request = _request(settings, task, job_id)
    with aws.translated(f"sending {task}"):
        aws.client(settings, "sqs").send_message(**request)


def _request(settings: Settings, task: str, job_id: str) -> dict[str, Any]:
    """Let Celery write a task's message, and return it as a request of SendMessage."""
    _configured(settings)
    message: dict[str, Any] = {"job_id": job_id, "schema_version": SCHEMA_VERSION}
    with sqs_transport.collected() as requests:
        app.send_task(task, kwargs=message, retry=False)
    return requests[0]


@lru_cache(maxsize=1)
def _configured(settings: Settings) -> None:
    """Configure a process that only sends."""
    if not app.conf.broker_transport_options.get("predefined_queues"):
        configure(settings)


def check_schema(version: int) -> None:
    """Refuse a task message of a newer release; it waits for workers that know it.

    Raises:
        SetupError: The message was written by a newer release.
    """
    if version > SCHEMA_VERSION:
        raise SetupError(f"The message has schema {version}; this worker knows {SCHEMA_VERSION}.")
