"""The one frozen Settings object, and the only reader of the environment."""

from __future__ import annotations

import difflib
import logging
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, FilePath, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import SettingsInvalid

#: Uploads live under this prefix of the uploads bucket, and nowhere else.
UPLOADS_PREFIX = "uploads/"
#: 500 MB, counted in binary megabytes as the S3 console does.
MAX_UPLOAD_BYTES = 500 * 1024 * 1024
QUEUES = ("uploads", "audio", "video", "aggregate")
_ENV_PREFIX = "GUARDIAN_"


class Settings(BaseSettings):
    """Everything an operator may set, each as `GUARDIAN_<NAME>`.

    AWS credentials are not settings: botocore finds them in the environment or through IRSA.
    """

    model_config = SettingsConfigDict(
        env_prefix=_ENV_PREFIX,
        env_ignore_empty=True,  # a variable without a value sets nothing: no token, no key, no URL
        frozen=True,
        extra="forbid",
        populate_by_name=True,
    )

    # Where things are
    prefix: str = Field("silver-guardian", description="First part of every AWS name.")
    region: str = Field("ap-northeast-2", description="AWS region of all resources.")
    endpoint_url: str | None = Field(
        None,
        validation_alias=AliasChoices("GUARDIAN_ENDPOINT_URL", "AWS_ENDPOINT_URL"),
        description="Endpoint of a stand-in for AWS; empty for AWS itself.",
    )
    queue_base_url: str | None = Field(
        None, description="URL before the queue name (https://sqs.REGION.amazonaws.com/ACCOUNT)."
    )
    # What is accepted
    max_upload_bytes: int = Field(
        MAX_UPLOAD_BYTES, gt=0, description="Largest object that is analysed, in bytes."
    )
    # How it is analysed
    sample_rate: int = Field(30, ge=1, description="Analyse every n-th video frame.")
    max_frames: int = Field(
        240, ge=8, description="Most sampled frames of one video; longer ones are sampled thinner."
    )
    sequence_s: float = Field(
        24.0,
        ge=0,
        description="Seconds of a video whose every picture is examined; longer ones in stretches; "
        "0 is none.",
    )
    prior: float = Field(
        0.5, gt=0, lt=1, description="Probability of manipulation before looking at the recording."
    )
    device: Literal["auto", "cuda", "cpu"] = Field(
        "auto", description="Where models run: CUDA with fall-back to the CPU, or one of them."
    )
    threads: int = Field(0, ge=0, description="Threads of a model session; 0 is all cores.")
    models_dir: Path | None = Field(
        None, description="Directory with models.toml; empty for the models in the package."
    )
    shadow_models_dir: Path | None = Field(
        None,
        description="Directory with a second models.toml, whose models score too and decide "
        "nothing; empty: none.",
    )
    c2pa_trust_anchors: FilePath | None = Field(
        None,
        description="Certificates in PEM of who may vouch for a file's note of origin (C2PA); "
        "empty: nobody.",
    )
    work_dir: Path = Field(
        Path(tempfile.gettempdir()) / "silver-guardian",
        description="Private directory for temporary media; what ended processes left is removed.",
    )
    state_dir: Path = Field(
        Path.home() / ".local" / "state" / "silver-guardian",
        description="Where `guardian local` keeps its logs and the note that it runs.",
    )
    decode_timeout_s: float = Field(600, gt=0, description="Wall-clock limit of one decode.")
    decode_memory_bytes: int = Field(
        4 * 1024**3, gt=0, description="Address-space limit of the decoder child."
    )
    sandbox: Literal["auto", "require", "off"] = Field(
        "auto",
        description="Landlock and namespaces around decoders: where permitted, always, or never.",
    )
    # Delivery
    visibility_timeout_s: int = Field(
        150, ge=2, le=43_200, description="SQS visibility; extended while a task runs."
    )
    job_timeout_s: int = Field(
        7200,
        ge=2,
        le=43_200,
        description="Longest work on one half; a process that hangs longer is killed.",
    )
    max_receive_count: int = Field(
        5, ge=1, description="Receives before a message is dead; the stack's `MaxReceiveCount`."
    )
    max_retry_wait_s: int = Field(
        900, ge=1, le=43_200, description="Longest wait before a message that failed comes again."
    )
    receive_wait_s: int = Field(20, ge=0, le=20, description="Long-poll wait of one receive.")
    grace_s: float = Field(
        0,
        ge=0,
        description="Time to finish after SIGTERM; then work is handed back. 0 is no limit.",
    )
    exit_after_jobs: int = Field(
        0, ge=0, description="End a worker after this many jobs, or with none to do; 0 is never."
    )
    intake_concurrency: int = Field(16, ge=1, description="Events handled at once by intake.")
    sweep_interval_s: float = Field(30, gt=0, description="Pause between two sweeps.")
    stuck_after_s: float = Field(
        900, gt=0, description="Age after which an unfinished job is mended by the sweeper."
    )
    bucket_sweep_interval_s: float = Field(
        600, ge=0, description="Pause between two looks for uploads without a job; 0 is never."
    )
    cache_url: SecretStr | None = Field(
        None,
        description="Redis that notes which job has the result of a content; empty: the table.",
    )
    cache_days: float = Field(
        30,
        ge=0,
        description="Days that the result of the same content may be used, while its job is kept; "
        "0 is never.",
    )
    retention_days: int = Field(90, ge=1, description="Days until a job expires from the table.")
    signing_key_file: Path | None = Field(
        None, description="Ed25519 private key in PEM that signs reports and receipts; empty: none."
    )
    probe_interval_s: float = Field(
        0, ge=0, description="Pause between known clips that the console sends; 0: none."
    )
    # Whom it tells
    webhook_url: str | None = Field(
        None,
        description="Address that each verdict and rejection is posted to, signed; empty: none.",
    )
    webhook_secret: SecretStr | None = Field(
        None, description="Key of the webhook's HMAC-SHA256 signature; needed with its address."
    )
    event_bus: str | None = Field(
        None, description="EventBridge bus that each verdict and rejection is put on; empty: none."
    )
    # What operators see
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )
    traces_url: str | None = Field(
        None, description="OTLP address over HTTP that traces go to; empty: none. Extra `traces`."
    )
    host: str = Field("127.0.0.1", description="Address that HTTP servers listen on.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port of /health, /ready and /metrics; empty: the role's."
    )
    api_token: SecretStr | None = Field(
        None,
        description="Bearer token of the HTTP interfaces; empty only on loopback, "
        "and there for the console only with a stand-in for AWS.",
    )
    api_read_token: SecretStr | None = Field(
        None, description="Second bearer token of the console: sees everything, changes nothing."
    )

    @field_validator("c2pa_trust_anchors")
    @classmethod
    def _holds_certificates(cls, path: Path | None) -> Path | None:
        try:
            holds_some = path is None or b"BEGIN CERTIFICATE" in path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        if not holds_some:
            raise ValueError(f"{path} holds no certificate in PEM")
        return path

    @property
    def uploads_bucket(self) -> str:
        """Bucket that uploads land in, under `uploads/`."""
        return f"{self.prefix}-uploads"

    @property
    def reports_bucket(self) -> str:
        """Bucket for reports and evidence."""
        return f"{self.prefix}-reports"

    @property
    def table(self) -> str:
        """DynamoDB table of the jobs."""
        return f"{self.prefix}-jobs"

    def queue(self, name: str) -> str:
        """Return the full name of queue `uploads`, `audio`, `video` or `aggregate`."""
        if name not in QUEUES:
            known = ", ".join(QUEUES)
            raise SettingsInvalid(f"There is no queue {name!r}; the queues are {known}.")
        return f"{self.prefix}-{name}"

    def dead_letter_queue(self, name: str) -> str:
        """Return the full name of the dead-letter queue behind `name`."""
        return f"{self.queue(name)}-dlq"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Read the environment once; a variable that sets nothing, by its name, is told in the log.

    Raises:
        SettingsInvalid: One or more settings are wrong; the message lists each of them.
    """
    for name in unknown_variables():
        near = difflib.get_close_matches(name, _variables(), 1)
        hint = f" (is {near[0]} meant?)" if near else ""
        logging.getLogger(__name__).warning("%s is no setting and sets nothing%s.", name, hint)
    try:
        return Settings()
    except ValidationError as error:
        bad = "; ".join(
            f"GUARDIAN_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors()
        )
        raise SettingsInvalid(f"These settings are not valid: {bad}.") from error


def unknown_variables() -> list[str]:
    """Return the variables of the environment that look like settings and are none."""
    known = _variables()
    return sorted(name for name in os.environ if name.startswith(_ENV_PREFIX) and name not in known)


def _variables() -> set[str]:
    return {_ENV_PREFIX + name.upper() for name in Settings.model_fields}
