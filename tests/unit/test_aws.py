"""Addresses of AWS itself, and what its errors mean; nothing is sent."""

from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.session import get_session

from shared import aws, web
from shared.errors import ServiceUnavailable
from shared.settings import Settings


@pytest.mark.parametrize("region", ["ap-northeast-2", "us-east-1", "eu-west-1", "cn-north-1"])
def test_a_page_may_talk_to_the_host_that_uploads_are_signed_for(region, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    settings = Settings(region=region, prefix="acme-guardian", endpoint_url=None)
    part = {"Bucket": settings.uploads_bucket, "Key": "uploads/x", "UploadId": "u", "PartNumber": 1}

    signed = aws.client(settings, "s3").generate_presigned_url("upload_part", Params=part)

    parts = urlsplit(signed)
    assert web._connect(settings) == f"'self' {parts.scheme}://{parts.netloc}"
    assert region in parts.netloc
    assert parse_qs(parts.query)["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]


def test_every_throttling_that_sqs_and_dynamodb_know_may_pass():
    """KMS throttles too, where the stack's CustomerKey encrypts the queues."""
    models = [get_session().get_service_model(name) for name in ("sqs", "dynamodb")]
    codes = {name for model in models for name in model.shape_names if "Throttl" in name}
    errors = {
        name
        for model in models
        for name in codes & set(model.shape_names)
        if model.shape_for(name).metadata.get("exception")
    }

    assert {"RequestThrottled", "KmsThrottled", "ThrottlingException"} <= errors
    for code in errors:
        answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        assert aws.is_passing(ClientError(answer, "SendMessage")), code


@pytest.mark.parametrize("code", ["RequestThrottled", "KMS.ThrottlingException", "KmsThrottled"])
def test_being_throttled_is_a_passing_fault(code):
    """SQS answers so for itself, and for the key that its queues are encrypted with."""
    metadata = {"HTTPStatusCode": 400}
    error = ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "SendMessage")

    with pytest.raises(ServiceUnavailable), aws.translated("sending a task"):
        raise error


def test_without_credentials_the_way_without_aws_is_named():
    with (
        pytest.raises(ServiceUnavailable, match="start `guardian local`"),
        aws.translated("listing jobs"),
    ):
        raise NoCredentialsError
