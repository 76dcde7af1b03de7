"""Provisioning from the one stack file against a real moto server."""

import json
import uuid

import pytest

from shared import aws
from shared.queues import queue_url
from shared.settings import QUEUES, Settings
from workers import provision as module
from workers.provision import provision

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(endpoint_url):
    return Settings(prefix=f"t{uuid.uuid4().hex[:10]}", endpoint_url=endpoint_url)


def names(settings):
    """All queues and buckets, and the table, of the installation."""
    pages = aws.client(settings, "dynamodb").get_paginator("list_tables").paginate()
    found = [name for page in pages for name in page["TableNames"]]
    found += [row["Name"] for row in aws.client(settings, "s3").list_buckets()["Buckets"]]
    listed = aws.client(settings, "sqs").list_queues(QueueNamePrefix=settings.prefix)
    found += [url.rpartition("/")[2] for url in listed.get("QueueUrls", [])]
    return sorted(name for name in found if name.startswith(settings.prefix))


def expected(settings):
    both = (settings.queue, settings.dead_letter_queue)
    queues = [name_of(name) for name in QUEUES for name_of in both]
    return sorted([*queues, settings.table, settings.uploads_bucket, settings.reports_bucket])


def test_a_dry_run_names_everything_and_makes_nothing(settings):
    plan = provision(settings, dry_run=True)

    assert plan.action == "would create"
    assert set(expected(settings)) <= {name for _, name in plan.resources}
    assert names(settings) == []


def test_what_the_stand_in_leaves_out_is_applied_too(settings):
    assert provision(settings).action == "create"

    assert names(settings) == expected(settings)
    sqs, dynamodb = aws.client(settings, "sqs"), aws.client(settings, "dynamodb")
    url = queue_url(settings, settings.queue("uploads"))
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    (allowed,) = json.loads(attributes["Policy"])["Statement"]
    assert allowed["Condition"]["ArnEquals"]["aws:SourceArn"].endswith(settings.uploads_bucket)
    assert int(attributes["VisibilityTimeout"]) == settings.visibility_timeout_s
    (told,) = aws.client(settings, "s3").get_bucket_notification_configuration(
        Bucket=settings.uploads_bucket
    )["QueueConfigurations"]
    assert told["QueueArn"] == attributes["QueueArn"]
    expiry = dynamodb.describe_time_to_live(TableName=settings.table)["TimeToLiveDescription"]
    assert (expiry["TimeToLiveStatus"], expiry["AttributeName"]) == ("ENABLED", "expires")


def test_doing_it_again_keeps_what_is_there(settings):
    provision(settings)
    s3, sqs = aws.client(settings, "s3"), aws.client(settings, "sqs")
    s3.put_object(Bucket=settings.uploads_bucket, Key="uploads/a", Body=b"a")
    s3.put_object(Bucket=settings.uploads_bucket, Key="elsewhere/b", Body=b"b")
    url = queue_url(settings, settings.queue("uploads"))

    def waiting():
        wanted = ["ApproximateNumberOfMessages"]
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    before = waiting()
    assert provision(settings).action in ("update", "none")
    assert provision(settings, dry_run=True).action == "would update"

    assert names(settings) == expected(settings)
    assert s3.get_object(Bucket=settings.uploads_bucket, Key="uploads/a")["Body"].read() == b"a"
    assert waiting() >= before >= 2
    (told,) = s3.get_bucket_notification_configuration(Bucket=settings.uploads_bucket)[
        "QueueConfigurations"
    ]
    assert told["Events"] == ["s3:ObjectCreated:*"]


def test_a_changed_setting_reaches_the_queues(settings):
    provision(settings)
    longer = settings.model_copy(update={"visibility_timeout_s": 300})

    provision(longer)

    url = queue_url(settings, settings.queue("audio"))
    attributes = aws.client(settings, "sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["VisibilityTimeout"]
    )
    assert attributes["Attributes"]["VisibilityTimeout"] == "300"


def test_a_key_filter_is_applied_where_it_is_chosen(settings, monkeypatch):
    chosen = {"NotificationPrefix": "uploads/"}
    parameters = module._parameters
    monkeypatch.setattr(module, "_parameters", lambda *given: parameters(*given) | chosen)

    provision(settings)

    (told,) = aws.client(settings, "s3").get_bucket_notification_configuration(
        Bucket=settings.uploads_bucket
    )["QueueConfigurations"]
    (rule,) = told["Filter"]["Key"]["FilterRules"]
    assert (rule["Name"].lower(), rule["Value"]) == ("prefix", "uploads/")


def test_provisioning_again_changes_what_settings_say_and_nothing_else(settings, monkeypatch):
    parameters = module._parameters
    chosen = {"EventBus": "security", "RetentionDays": "30"}
    with monkeypatch.context() as patch:
        patch.setattr(module, "_parameters", lambda *given: parameters(*given) | chosen)
        provision(settings)

    provision(settings.model_copy(update={"max_receive_count": 7}))

    assert module._earlier(settings).items() >= (chosen | {"MaxReceiveCount": "7"}).items()
