"""The stack file makes what the code asks for, under the names that the code uses."""

import tomllib
from pathlib import Path

import pytest
import yaml

from shared.settings import QUEUES, Settings
from workers import provision

ROOT = Path(__file__).parents[2]
STACK = ROOT / "deploy" / "aws" / "stack.yaml"
#: Of TemplateBody, which `guardian provision` sends (CloudFormation quotas).
_MAX_TEMPLATE_BYTES = 51_200
PREFIX = "p"
_NOTHING = {"Ref": "AWS::NoValue"}


def by_default(node):
    """Decide conditions as the defaults of the parameters do: no key of one's own, no retention."""
    if isinstance(node, list):
        return [by_default(item) for item in node if _chosen(item) != _NOTHING]
    if not isinstance(node, dict):
        return node
    chosen = _chosen(node)
    if chosen is not node:
        return by_default(chosen)
    return {key: by_default(item) for key, item in node.items() if _chosen(item) != _NOTHING}


def _chosen(node):
    if isinstance(node, dict) and set(node) == {"Fn::If"}:
        condition, _, otherwise = node["Fn::If"]
        assert condition in ("HasBoundary", "HasKey", "HasTopic", "Expires")
        return otherwise
    return node


def load(text):
    template = by_default(yaml.load(text, provision._Loader))
    defaults = {name: str(row["Default"]) for name, row in template["Parameters"].items()}
    values = {
        **defaults,
        "Prefix": PREFIX,
        "AWS::AccountId": "123456789012",
        "AWS::Partition": "aws",
        "AWS::Region": "r",
    }
    settings = Settings(prefix=PREFIX, region="r")
    return template, provision._Resolver(settings, template, values)


@pytest.fixture(scope="module")
def stack():
    return load(STACK.read_text())


@pytest.fixture
def of_type(stack):
    """Resolved properties of all resources of a type, by name."""
    template, resolve = stack

    def find(kind):
        rows = {k: row for k, row in template["Resources"].items() if row["Type"] == kind}
        return {resolve.name(k): resolve.value(row["Properties"]) for k, row in rows.items()}

    return find


def test_names_are_those_of_the_code(of_type):
    settings = Settings(prefix=PREFIX)
    queues = {settings.queue(name) for name in QUEUES}
    dead = {settings.dead_letter_queue(name) for name in QUEUES}

    assert set(of_type("AWS::SQS::Queue")) == queues | dead
    assert set(of_type("AWS::S3::Bucket")) == {settings.uploads_bucket, settings.reports_bucket}
    assert set(of_type("AWS::DynamoDB::Table")) == {settings.table}


def test_each_queue_ends_in_its_own_dead_letters_after_the_settings_receives(of_type):
    settings, queues = Settings(prefix=PREFIX), of_type("AWS::SQS::Queue")
    for name in QUEUES:
        queue = queues[settings.queue(name)]
        redrive, dead = queue["RedrivePolicy"], settings.dead_letter_queue(name)
        assert redrive["deadLetterTargetArn"].rpartition(":")[2] == dead
        assert int(redrive["maxReceiveCount"]) == settings.max_receive_count
        assert int(queue["VisibilityTimeout"]) == settings.visibility_timeout_s
        assert queues[dead]["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert "RedrivePolicy" not in queues[dead]


def test_only_the_uploads_bucket_of_this_account_may_send_events(of_type):
    (policy,) = of_type("AWS::SQS::QueuePolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert policy["Queues"] == [f"{PREFIX}-uploads"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Condition"]["ArnEquals"]["aws:SourceArn"] == f"arn:aws:s3:::{PREFIX}-uploads"
    assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == "123456789012"


def test_created_objects_are_told_to_the_uploads_queue(stack, of_type):
    template, _ = stack
    bucket = of_type("AWS::S3::Bucket")[f"{PREFIX}-uploads"]
    (wanted,) = bucket["NotificationConfiguration"]["QueueConfigurations"]

    assert wanted["Event"] == "s3:ObjectCreated:*"
    assert wanted["Queue"].endswith(f":{PREFIX}-uploads")
    assert template["Resources"]["UploadsBucket"]["DependsOn"] == "UploadsQueuePolicy"


def test_buckets_are_private_encrypted_kept_and_reached_by_tls_alone(stack, of_type):
    template, _ = stack
    denied = {}
    for policy in of_type("AWS::S3::BucketPolicy").values():
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}:
                assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
                denied[policy["Bucket"]] = statement["Resource"]
    for name, bucket in of_type("AWS::S3::Bucket").items():
        assert denied[name] == [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
        assert set(bucket["PublicAccessBlockConfiguration"].values()) in ({True}, {"true"})
        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    for row in template["Resources"].values():
        if row["Type"] in ("AWS::S3::Bucket", "AWS::DynamoDB::Table"):
            assert row["DeletionPolicy"] == row["UpdateReplacePolicy"] == "Retain"


def test_uploads_are_versioned_and_unfinished_ones_end(of_type):
    bucket = of_type("AWS::S3::Bucket")[f"{PREFIX}-uploads"]

    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)


def test_the_table_has_the_keys_and_indexes_of_the_job_store(of_type):
    (table,) = of_type("AWS::DynamoDB::Table").values()
    types = {row["AttributeName"]: row["AttributeType"] for row in table["AttributeDefinitions"]}

    def keys(schema):
        return [(row["AttributeName"], types[row["AttributeName"]]) for row in schema]

    indexes = {row["IndexName"]: keys(row["KeySchema"]) for row in table["GlobalSecondaryIndexes"]}
    assert keys(table["KeySchema"]) == [("pk", "S")]
    assert indexes == {
        "newest": [("feed", "S"), ("created", "S")],
        "pending": [("pending", "S"), ("due", "N")],
    }
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_every_parameter_has_a_default_and_says_what_it_is(stack):
    template, _ = stack
    assert template["Parameters"]["Prefix"]["Default"] == Settings.model_fields["prefix"].default
    for name, row in template["Parameters"].items():
        assert "Default" in row, name
        assert row.get("Description"), name


def test_the_file_is_small_enough_to_be_sent():
    assert STACK.stat().st_size <= _MAX_TEMPLATE_BYTES


def test_the_wheel_carries_the_one_source():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    included = build["targets"]["wheel"]["force-include"]

    assert included["deploy/aws/stack.yaml"] == f"workers/{provision._PACKAGED.name}"
    assert not provision._PACKAGED.exists(), "in the source tree there is one file"
    assert provision.template_text() == STACK.read_text()
