"""The stack is valid CloudFormation, keeps data safe, and gives each process no right too many."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shared.settings import Settings
from workers import provision

ROOT = Path(__file__).parents[2]
STACK = ROOT / "deploy" / "aws" / "stack.yaml"
RECORDED = Path(__file__).with_name("recorded_calls.txt")
PROCESSES = ("intake", "audio", "video", "aggregator", "console")
#: The IAM action behind an API call, where the two differ.
ACTIONS = {
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
P = "silver-guardian"
OVERTAKEN = "takes back what an erasure overtook"
OBJECTS_OF_A_VERSION = "reads are pinned to the version, which the stand-in's bucket may not have"
MISSING = "without it S3 answers 403 for an object that is gone, which looks like a missing right"
#: Rights that an ordinary run does not use, each with the reason why its process has it.
RARE = {
    f"intake sqs:ChangeMessageVisibility {P}-uploads": "gives a message back that failed",
    f"intake sqs:SendMessage {P}-uploads-dlq": "keeps what it cannot read",
    f"intake dynamodb:UpdateItem {P}-jobs": "stores that a sound file has no pictures",
    f"intake s3:GetObjectVersion {P}-uploads/uploads": OBJECTS_OF_A_VERSION,
    f"intake s3:ListBucket {P}-uploads": MISSING,
    f"audio sqs:ChangeMessageVisibility {P}-audio": "keeps a job longer than the visibility",
    f"audio s3:GetObjectVersion {P}-uploads/uploads": OBJECTS_OF_A_VERSION,
    f"audio s3:ListBucket {P}-uploads": MISSING,
    f"audio s3:GetObject {P}-reports/evidence": "copies evidence of the same content",
    f"video s3:GetObject {P}-reports/evidence": "copies evidence of the same content",
    f"audio s3:ListBucket {P}-reports": MISSING,
    f"video s3:ListBucket {P}-reports": MISSING,
    f"video sqs:ChangeMessageVisibility {P}-video": "keeps a job longer than the visibility",
    f"video s3:GetObjectVersion {P}-uploads/uploads": OBJECTS_OF_A_VERSION,
    f"video s3:ListBucket {P}-uploads": MISSING,
    f"aggregator sqs:ChangeMessageVisibility {P}-aggregate": "keeps a job that takes long",
    f"aggregator s3:DeleteObject {P}-reports/reports": OVERTAKEN,
    f"audio s3:DeleteObject {P}-reports/evidence": OVERTAKEN,
    f"video s3:DeleteObject {P}-reports/evidence": OVERTAKEN,
}
#: Resources of policies that are wider than one thing, with the reason.
WILDCARDS = {"*": "cloudwatch:GetMetricData knows no resources"}


@pytest.fixture(scope="module")
def stack():
    return yaml.load(STACK.read_text(), provision._Loader)


def of_type(stack, kind):
    return {name: row for name, row in stack["Resources"].items() if row["Type"] == kind}


def statements(stack, role):
    properties = stack["Resources"][f"{role.title()}Role"]["Properties"]
    for policy in properties["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def resource(stack, node):
    """Short name of a statement's resource: a queue, a table, an index or a part of a bucket."""
    if node == "*":
        return "*"
    if "Fn::GetAtt" in node:
        logical, rest = node["Fn::GetAtt"][0], ""
    else:
        logical, rest = re.fullmatch(r"\$\{(\w+)\.Arn\}(/.*)", node["Fn::Sub"]).groups()
    properties = stack["Resources"][logical]["Properties"]
    (name,) = [
        properties[key] for key in ("BucketName", "QueueName", "TableName") if key in properties
    ]
    return name["Fn::Sub"].replace("${Prefix}", P) + rest.removesuffix("/*")


def allowed(stack, role):
    """Every right of a role as `process action resource`."""
    return {
        f"{role} {action} {resource(stack, node)}"
        for statement in statements(stack, role)
        for action in statement["Action"]
        for node in statement["Resource"]
    }


def used(role):
    """Every right that a recorded run used, and those for rarer occasions."""
    lines = {line for line in RECORDED.read_text().splitlines() if line.startswith(f"{role} ")}
    lines |= {line for line in RARE if line.startswith(f"{role} ")}
    return {" ".join(ACTIONS.get(word, word) for word in line.split()) for line in lines}


def lint(path):
    command = [Path(sys.executable).with_name("cfn-lint"), path, "--regions", "ap-northeast-2"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_cfn_lint_finds_nothing():
    assert lint(STACK) == (0, "")


def test_cfn_lint_finds_a_planted_mistake(tmp_path):
    wrong = tmp_path / "stack.yaml"
    wrong.write_text(STACK.read_text().replace("VisibilityTimeout:", "VisibilityTimeOut:", 1))

    status, found = lint(wrong)

    assert status != 0
    assert "VisibilityTimeOut" in found


@pytest.mark.parametrize("role", PROCESSES[:-1])
def test_each_worker_has_exactly_the_rights_that_it_uses(stack, role):
    assert allowed(stack, role) == used(role)


def test_rare_rights_are_rare():
    recorded = set(RECORDED.read_text().splitlines())

    assert [line for line in RARE if line in recorded] == []


def test_a_right_too_many_is_found(stack):
    planted = copy.deepcopy(stack)
    first = planted["Resources"]["AudioRole"]["Properties"]["Policies"][0]
    first["PolicyDocument"]["Statement"][0]["Action"].append("sqs:PurgeQueue")

    assert allowed(planted, "audio") - used("audio") == {f"audio sqs:PurgeQueue {P}-audio"}


def test_the_console_cannot_reach_what_it_does_not_show(stack):
    rights = allowed(stack, "console")

    assert not [line for line in rights if "sqs:ReceiveMessage" in line and "-dlq" not in line]
    assert not [line for line in rights if "Purge" in line or "DeleteQueue" in line]
    written = [line for line in rights if "s3:PutObject" in line and "-reports" in line]
    assert written == [f"console s3:PutObject {P}-reports/receipts"]


@pytest.mark.parametrize("kind", ["evidence", "reports", "receipts"])
def test_the_console_reads_all_that_it_shows(stack, kind):
    assert f"console s3:GetObject {P}-reports/{kind}" in allowed(stack, "console")


def test_nobody_can_scan_the_table(stack):
    rights = {right for role in PROCESSES for right in allowed(stack, role)}

    assert [right for right in rights if "dynamodb:Query" in right]
    assert not [right for right in rights if "Scan" in right or "PartiQL" in right]


def test_keda_only_reads_counts(stack):
    actions = {right.split()[1] for right in allowed(stack, "keda")}

    assert actions == {"sqs:GetQueueAttributes", "cloudwatch:GetMetricData"}


def test_nothing_is_allowed_by_wildcard(stack):
    wide = set()
    for role in (*PROCESSES, "keda"):
        for statement in statements(stack, role):
            assert statement["Effect"] == "Allow"
            assert not [action for action in statement["Action"] if "*" in action]
            wide |= {node for node in statement["Resource"] if node == "*"}
            for node in statement["Resource"]:
                if isinstance(node, dict) and "Fn::Sub" in node:
                    assert re.search(
                        r"/(index/\w+|(uploads|evidence|reports|receipts)/\*)$", node["Fn::Sub"]
                    )
    assert wide == set(WILDCARDS)


def test_each_role_is_for_one_service_account_of_the_chart(stack, render):
    release = {"Namespace": "guardian", "Release": "guardian", "Prefix": P}
    release |= {"AWS::Partition": "aws", "AWS::AccountId": "1", "OidcProvider": "oidc.example"}
    accounts = render(name="guardian", namespace="guardian").of("ServiceAccount")
    names = {f"system:serviceaccount:guardian:{item['metadata']['name']}" for item in accounts}

    trusted = set()
    for role in of_type(stack, "AWS::IAM::Role").values():
        text = role["Properties"]["AssumeRolePolicyDocument"]["Fn::Sub"]
        filled = json.loads(re.sub(r"\$\{([\w:]+)\}", lambda found: release[found[1]], text))
        (statement,) = filled["Statement"]
        trusted.add(statement["Condition"]["StringEquals"]["oidc.example:sub"])
        assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert role["Condition"] == "HasRoles"
    assert trusted == names | {"system:serviceaccount:keda:keda-operator"}


@pytest.mark.parametrize(
    ("release", "name"),
    [("guardian", "guardian"), ("g" * 53, "g" * 40), (f"{'g' * 39}-blue", "g" * 39)],
)
def test_roles_are_only_made_for_names_that_the_chart_gives(stack, render, release, name):
    parameter = stack["Parameters"]["Release"]

    def takes(text):
        fits = re.fullmatch(parameter["AllowedPattern"], text)
        return bool(fits) and len(text) <= parameter["MaxLength"]

    account = render(name=release).of("ServiceAccount", "-audio")
    assert account["metadata"]["name"] == f"{name}-audio"
    assert takes(name)
    assert takes(release) == (release == name)


def test_roles_are_bounded_where_the_account_asks_for_it(stack):
    for role in of_type(stack, "AWS::IAM::Role").values():
        condition, bounded, _ = role["Properties"]["PermissionsBoundary"]["Fn::If"]
        assert (condition, bounded) == ("HasBoundary", {"Ref": "PermissionsBoundary"})
    assert stack["Parameters"]["PermissionsBoundary"]["Default"] == ""


def test_the_output_is_a_values_file_of_the_chart(stack, render):
    text = stack["Outputs"]["ChartValues"]["Value"]["Fn::Sub"]
    filled = {"Prefix": P, "AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012"}
    filled["AWS::URLSuffix"] = "amazonaws.com"
    roles = {
        f"{name.title()}Role.Arn": f"arn:aws:iam::123456789012:role/{name}" for name in PROCESSES
    }
    values = yaml.safe_load(
        re.sub(r"\$\{([\w:.]+)\}", lambda found: (filled | roles)[found[1]], text)
    )
    rendered = render(values)

    assert "WARNING" not in rendered.notes
    for process in PROCESSES:
        annotations = rendered.of("ServiceAccount", f"-{process}")["metadata"]["annotations"]
        assert annotations["eks.amazonaws.com/role-arn"] == roles[f"{process.title()}Role.Arn"]
    trigger = rendered.of("ScaledObject", "-audio")["spec"]["triggers"][0]["metadata"]
    assert trigger["queueURL"] == f"https://sqs.eu-west-1.amazonaws.com/123456789012/{P}-audio"


def test_outputs_that_the_charts_name_are_outputs(stack):
    folders = (ROOT / "deploy" / "helm" / "silver-guardian", ROOT / "keda")
    text = "".join(path.read_text() for folder in folders for path in folder.glob("*.*"))

    named = set(re.findall(r"stack's (?:output )?`?(\w+(?:RoleArn|Values|Url))", text))
    assert named >= {"ChartValues", "KedaRoleArn"}
    assert named <= set(stack["Outputs"])


def test_names_are_those_of_the_code(stack):
    settings = Settings()
    queues = {
        row["Properties"]["QueueName"]["Fn::Sub"].replace("${Prefix}", P)
        for row in of_type(stack, "AWS::SQS::Queue").values()
    }
    expected = {settings.queue(name) for name in ("uploads", "audio", "video", "aggregate")}

    assert queues == expected | {f"{name}-dlq" for name in expected}
    defaults = {name: row["Default"] for name, row in stack["Parameters"].items()}
    assert defaults["VisibilityTimeoutSeconds"] == settings.visibility_timeout_s
    assert defaults["MaxReceiveCount"] == settings.max_receive_count


def test_buckets_are_private_encrypted_and_kept(stack):
    buckets = of_type(stack, "AWS::S3::Bucket")
    policies = [row["Properties"] for row in of_type(stack, "AWS::S3::BucketPolicy").values()]

    for name, row in buckets.items():
        assert all(row["Properties"]["PublicAccessBlockConfiguration"].values())
        assert row["Properties"]["BucketEncryption"]
        assert row["DeletionPolicy"] == "Retain"
        (policy,) = [item for item in policies if item["Bucket"] == {"Ref": name}]
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_key_of_ones_own_serves_its_services_and_the_notification_alone(stack):
    administration, notification = stack["Resources"]["Key"]["Properties"]["KeyPolicy"]["Statement"]
    (use,) = stack["Resources"]["KeyAccess"]["Properties"]["PolicyDocument"]["Statement"]
    roles = stack["Resources"]["KeyAccess"]["Properties"]["Roles"]

    assert administration["Principal"]["AWS"]["Fn::Sub"].endswith(":root")
    assert notification["Principal"] == {"Service": "s3.amazonaws.com"}
    assert set(notification["Condition"]) == {"ArnEquals", "StringEquals"}
    assert use["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert use["Resource"] == [{"Fn::GetAtt": ["Key", "Arn"]}]
    assert use["Condition"]["StringEquals"]["kms:ViaService"]
    assert {role["Ref"] for role in roles} == {f"{name.title()}Role" for name in PROCESSES}
    assert stack["Parameters"]["CustomerKey"]["Default"] == "false"


def test_only_the_aggregator_may_put_events_and_only_on_the_bus_that_was_named(stack):
    access = stack["Resources"]["EventBusAccess"]
    (statement,) = access["Properties"]["PolicyDocument"]["Statement"]

    assert access["Condition"] == "HasRolesAndBus"
    assert access["Properties"]["Roles"] == [{"Ref": "AggregatorRole"}]
    assert statement["Action"] == ["events:PutEvents"]
    assert statement["Resource"][0]["Fn::Sub"].endswith(":event-bus/${EventBus}")
    assert stack["Parameters"]["EventBus"]["Default"] == ""


def test_uploads_are_versioned_told_of_by_prefix_and_kept_unless_asked(stack):
    bucket = stack["Resources"]["UploadsBucket"]["Properties"]
    (told,) = bucket["NotificationConfiguration"]["QueueConfigurations"]
    rules = bucket["LifecycleConfiguration"]["Rules"]

    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert told["Filter"]["S3Key"]["Rules"] == [
        {"Name": "prefix", "Value": {"Ref": "NotificationPrefix"}}
    ]
    assert stack["Parameters"]["NotificationPrefix"]["Default"] == "uploads/"
    assert [rule["Fn::If"][0] for rule in rules if "Fn::If" in rule] == ["Expires"]
    assert stack["Parameters"]["RetentionDays"]["Default"] == 0


def test_what_expires_is_gone_soon_and_receipts_never_expire(stack):
    uploads, reports = (
        stack["Resources"][name]["Properties"]["LifecycleConfiguration"]["Rules"]
        for name in ("UploadsBucket", "ReportsBucket")
    )
    (replaced,) = [rule for rule in uploads if rule.get("Id") == "replaced-versions"]
    expiring = [rule["Fn::If"][1] for rule in reports if "Fn::If" in rule]

    days = replaced["NoncurrentVersionExpiration"]["NoncurrentDays"]
    assert days == {"Fn::If": ["Expires", 14, 30]}
    assert {rule["Prefix"] for rule in expiring} == {"reports/", "evidence/"}
    assert all(rule["ExpirationInDays"] == {"Ref": "RetentionDays"} for rule in expiring)


def test_every_queue_has_dead_letters_and_an_alarm_on_each(stack):
    queues = of_type(stack, "AWS::SQS::Queue")
    alarmed = {
        row["Properties"]["Dimensions"][0]["Value"]["Fn::GetAtt"][0]: row["Properties"]
        for row in of_type(stack, "AWS::CloudWatch::Alarm").values()
    }

    assert set(alarmed) == set(queues)
    for name, row in queues.items():
        if name.endswith("DeadLetters"):
            assert alarmed[name]["Threshold"] in ("0", 0)
            continue
        target = row["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        assert target in queues
        assert alarmed[name]["MetricName"] == "ApproximateAgeOfOldestMessage"
        assert row["Properties"]["SqsManagedSseEnabled"]["Fn::If"][2] is True
        assert row["Properties"]["KmsMasterKeyId"]["Fn::If"][1] == {"Ref": "Key"}


def test_only_the_bucket_of_this_account_may_send_notifications(stack):
    (policy,) = of_type(stack, "AWS::SQS::QueuePolicy").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]

    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert set(statement["Condition"]) == {"ArnEquals", "StringEquals"}


def test_the_dashboard_is_json_about_every_queue(stack):
    (dashboard,) = of_type(stack, "AWS::CloudWatch::Dashboard").values()
    text = dashboard["Properties"]["DashboardBody"]["Fn::Sub"]
    body = json.loads(text.replace("${Prefix}", P).replace("${AWS::Region}", "eu-west-1"))
    named = {row[3] for widget in body["widgets"] for row in widget["properties"]["metrics"]}

    assert {f"{P}-{name}" for name in ("uploads", "audio", "video", "aggregate")} <= named
