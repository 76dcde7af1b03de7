"""boto3 and aiobotocore clients from Settings, and what AWS errors mean to us."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.model import OperationModel

from shared.errors import GuardianError, ServiceUnavailable, SetupError
from shared.settings import Settings

_CONNECT_TIMEOUT_S = 5
#: Longer than the longest long poll (20 s).
_READ_TIMEOUT_S = 30
_ATTEMPTS = 4
#: How long a process that starts waits for AWS; then it ends, and whoever runs it starts another.
_START_S = 60.0
_MIN_PAUSE_S, _MAX_PAUSE_S = 0.5, 8.0
_THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "KmsThrottled",  # by SQS, whose queues the key of the stack encrypts
        "RequestLimitExceeded",
        "ProvisionedThroughputExceededException",
        "TransactionConflictException",
        "KMS.ThrottlingException",
        "SlowDown",
        "InternalError",
        "InternalServerError",
        "ServiceUnavailable",
        "RequestTimeout",
        "RequestTimeoutException",
    }
)
_SERVER_ERROR = 500
#: SQS hands out, takes and deletes at most this many messages a call.
SQS_BATCH = 10
#: What DynamoDB answers where the condition of a write does not hold.
CONDITION_FAILED = "ConditionalCheckFailedException"
Answer = TypeVar("Answer")
_log = structlog.get_logger()
_CONFIG: dict[str, Any] = {
    "connect_timeout": _CONNECT_TIMEOUT_S,
    "read_timeout": _READ_TIMEOUT_S,
    "retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS},
    "max_pool_connections": 32,
    "s3": {"addressing_style": "path"},
}
#: For AWS's own S3: addresses signed by signature version 4, for the bucket's host in its region.
#: Left alone, botocore signs for hosts that redirect, in old regions by version 2, which S3
#: refuses for objects under a KMS key.
_AWS_S3: dict[str, Any] = {
    "signature_version": "s3v4",
    "s3": {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
}


def _config(service: str, endpoint_url: str | None) -> dict[str, Any]:
    return _CONFIG if endpoint_url or service != "s3" else _CONFIG | _AWS_S3


@lru_cache(maxsize=32)
def _client(service: str, region: str, endpoint_url: str | None) -> Any:
    made = boto3.session.Session(region_name=region).client(
        service,  # type: ignore[call-overload]  # the stubs want a literal
        endpoint_url=endpoint_url,
        config=Config(**_config(service, endpoint_url)),
    )
    made.meta.events.register(f"before-parse.{service}", _fail_where_cut)
    made.meta.events.register_first(f"needs-retry.{service}", _go_by_what_was_parsed)
    return made


def _fail_where_cut(
    operation_model: OperationModel, response_dict: dict[str, Any], **_: object
) -> None:
    """Make an error of the server of an answer that breaks off.

    botocore takes what has come for all of it, and JSON that it cannot read for a message: a job
    would not be there, because its row came by half.
    """
    body, promised = response_dict["body"], response_dict["headers"].get("content-length", 0)
    is_whole = not isinstance(body, bytes) or len(body) >= int(promised)
    if not is_whole and operation_model.http["method"] != "HEAD":
        response_dict |= {"status_code": _SERVER_ERROR, "body": b""}


def _go_by_what_was_parsed(response: tuple[Any, dict[str, Any]] | None, **_: object) -> None:
    """Let the error above be tried again, and raised in the end; those go by the status."""
    if response is not None:
        answer, parsed = response
        answer.status_code = parsed["ResponseMetadata"]["HTTPStatusCode"]


def client(settings: Settings, service: str) -> Any:
    """Return the process's thread-safe boto3 client for a service such as `s3` or `sqs`."""
    return _client(service, settings.region, settings.endpoint_url)


def bucket_origin(settings: Settings, bucket: str) -> str:
    """Return scheme and host of the addresses that are signed for a bucket's objects."""
    if settings.endpoint_url:
        return settings.endpoint_url
    scheme, _, host = str(client(settings, "s3").meta.endpoint_url).partition("://")
    return f"{scheme}://{bucket}.{host}"


def async_client(settings: Settings, service: str) -> AbstractAsyncContextManager[Any]:
    """Return an asynchronous context manager around a new aiobotocore client."""
    # imported here: it is large, and commands and analyzers do without it
    from aiobotocore.config import AioConfig  # noqa: PLC0415
    from aiobotocore.session import get_session  # noqa: PLC0415

    manager: AbstractAsyncContextManager[Any] = get_session().create_client(
        service,
        region_name=settings.region,
        endpoint_url=settings.endpoint_url,
        config=AioConfig(**_config(service, settings.endpoint_url)),
    )
    return manager


def patiently(call: Callable[[], Answer], limit_s: float = _START_S) -> Answer:
    """Make a call that a process cannot start without, again and again while AWS has a bad time.

    Raises:
        ServiceUnavailable: It still failed when `limit_s` seconds were over.
    """
    end, pause_s = time.monotonic() + limit_s, _MIN_PAUSE_S
    while True:
        try:
            return call()
        except ServiceUnavailable as error:
            if time.monotonic() + pause_s > end:
                raise
            _log.warning("start_waits", error=error.message, pause_s=pause_s)
            time.sleep(pause_s)
            pause_s = min(_MAX_PAUSE_S, 2 * pause_s)


def error_code(error: ClientError) -> str:
    """Return the code of an AWS error, such as `NoSuchKey` or `404`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_passing(error: ClientError) -> bool:
    """Tell whether the same call may succeed later: throttling and server errors."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return error_code(error) in _THROTTLED or int(status) >= _SERVER_ERROR


@contextmanager
def translated(what: str, codes: dict[str, type[GuardianError]] | None = None) -> Iterator[None]:
    """Turn botocore errors of the block into our own.

    Args:
        what: The action, for messages ("reading the object").
        codes: AWS error codes that have a meaning of their own here.

    Raises:
        ServiceUnavailable: Throttling, server errors, and connections that fail.
        SetupError: Everything else, such as a missing right or resource.
    """
    try:
        yield
    except ClientError as error:
        code = error_code(error)
        if codes and code in codes:
            raise codes[code] from error
        if is_passing(error):
            raise ServiceUnavailable(f"AWS answered {code} while {what}.") from error
        raise SetupError(f"AWS refused {what}: {error}.") from error
    except NoCredentialsError as error:
        raise ServiceUnavailable(
            f"AWS could not be asked while {what}: there are no credentials. Set them, or start "
            "`guardian local`, which needs none."
        ) from error
    except BotoCoreError as error:
        raise ServiceUnavailable(f"AWS could not be reached while {what}: {error}.") from error
