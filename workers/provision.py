"""Make buckets, notifications, queues, dead letters and table from the one CloudFormation file.

On AWS, CloudFormation does it all. A stand-in may leave parts of the template out (moto 5.2.5 takes
no notification, time to live or queue policy from it), so behind an endpoint override these are
applied from the same file through the API.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError, WaiterError

from shared import aws
from shared.errors import SetupError
from shared.settings import Settings

_PACKAGED = Path(__file__).with_name("stack.yaml")
_IN_SOURCE = Path(__file__).parents[1] / "deploy" / "aws" / "stack.yaml"
_PARTITION = "aws"
_NO_UPDATES = "No updates are to be performed"


@dataclass(frozen=True)
class Plan:
    """What provisioning makes, or has made.

    Attributes:
        stack: Name of the CloudFormation stack.
        action: `create`, `update`, `none`, or `would create` and so on for a dry run.
        resources: Type and name of each resource.
    """

    stack: str
    action: str
    resources: tuple[tuple[str, str], ...]

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        rows = [{"type": kind, "name": name} for kind, name in self.resources]
        return {"stack": self.stack, "action": self.action, "resources": rows}

    def text(self) -> str:
        """Return the plan as lines for a person."""
        lines = [f"stack {self.stack}: {self.action}"]
        return "\n".join(lines + [f"  {kind:28} {name}" for kind, name in self.resources])


class _Loader(yaml.SafeLoader):
    """Reads the short forms of CloudFormation's functions."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix == "Ref" else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".") if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    raise SetupError(f"The stack file uses !{suffix} in a form that is not read here.")


_Loader.add_multi_constructor("!", _function)


def template_text() -> str:
    """Return the stack file as it is installed, or as it lies in the source tree."""
    path = _PACKAGED if _PACKAGED.exists() else _IN_SOURCE
    return path.read_text()


@lru_cache(maxsize=1)
def _template() -> dict[str, Any]:
    """Parse the stack file, once: that takes a third of the time that a stand-in needs for all."""
    template: dict[str, Any] = yaml.load(template_text(), _Loader)  # noqa: S506  # a SafeLoader with functions
    return template


def provision(settings: Settings, *, dry_run: bool = False) -> Plan:
    """Create or update everything; running it again changes nothing.

    Raises:
        SetupError: CloudFormation refused or failed.
        ServiceUnavailable: AWS could not be reached.
    """
    template = _template()
    with aws.translated("looking for the stack"):
        earlier = _earlier(settings)
    parameters = _parameters(settings, template, earlier or {})
    resolve = _Resolver(settings, template, parameters)
    resources = tuple(
        (row["Type"], resolve.name(logical))
        for logical, row in template["Resources"].items()
        if "Condition" not in row  # roles are made by deploying the stack for a cluster
    )
    with aws.translated("provisioning"):
        exists = earlier is not None
        action = "update" if exists else "create"
        if dry_run:
            return Plan(settings.prefix, f"would {action}", resources)
        if not _apply(settings, parameters, exists=exists):
            action = "none"
        if settings.endpoint_url:
            _complete(settings, template, resolve)
    return Plan(settings.prefix, action, resources)


def _parameters(
    settings: Settings, template: dict[str, Any], earlier: dict[str, str]
) -> dict[str, str]:
    """Return what settings say, else what was chosen for the stack as it is, else the default."""
    defaults = {name: str(row["Default"]) for name, row in template["Parameters"].items()}
    if settings.endpoint_url:  # somebody trying it out is told of a misplaced key, by a rejection
        defaults["NotificationPrefix"] = ""
    kept = {name: value for name, value in earlier.items() if name in defaults}
    return (
        defaults
        | kept
        | {
            "Prefix": settings.prefix,
            "VisibilityTimeoutSeconds": str(settings.visibility_timeout_s),
            "MaxReceiveCount": str(settings.max_receive_count),
        }
    )


def _earlier(settings: Settings) -> dict[str, str] | None:
    """Return the parameters of the stack as it is; None where there is none."""
    try:
        answer = aws.client(settings, "cloudformation").describe_stacks(StackName=settings.prefix)
    except ClientError as error:
        if aws.error_code(error) == "ValidationError":
            return None
        raise
    rows = answer["Stacks"][0].get("Parameters", [])
    return {row["ParameterKey"]: row.get("ParameterValue", "") for row in rows}


def _apply(settings: Settings, parameters: dict[str, str], *, exists: bool) -> bool:
    """Create or update the stack and wait; False where nothing was to be changed."""
    cloudformation = aws.client(settings, "cloudformation")
    request = {
        "StackName": settings.prefix,
        "TemplateBody": template_text(),
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }
    try:
        if exists:
            cloudformation.update_stack(**request)
        else:
            cloudformation.create_stack(**request)
    except ClientError as error:
        if _NO_UPDATES in str(error):
            return False
        raise
    name = "stack_update_complete" if exists else "stack_create_complete"
    waiter = cloudformation.get_waiter(name)
    try:
        waiter.wait(StackName=settings.prefix, WaiterConfig={"Delay": 1, "MaxAttempts": 900})
    except WaiterError as error:
        raise SetupError(f"The stack {settings.prefix} was not completed: {error}.") from error
    return True


class _Resolver:
    """Resolves the functions that our stack file uses, for the parts applied through the API."""

    def __init__(
        self, settings: Settings, template: dict[str, Any], parameters: dict[str, str]
    ) -> None:
        self._settings = settings
        self._resources = template["Resources"]
        self._values = parameters | {
            "AWS::Partition": _PARTITION,
            "AWS::Region": settings.region,
        }

    def name(self, logical: str) -> str:
        """Return the name of a resource, its logical id where it has none."""
        properties = self._resources[logical].get("Properties", {})
        named = next((properties[key] for key in properties if key in _NAMES), logical)
        return str(self.value(named))

    def value(self, node: Any) -> Any:
        """Replace functions by their values, deeply."""
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        if set(node) == {"Ref"}:
            return self._reference(node["Ref"])
        if set(node) == {"Fn::GetAtt"}:
            return self._arn(node["Fn::GetAtt"][0])
        if set(node) == {"Fn::Sub"}:
            return self._substitute(node["Fn::Sub"])
        return {key: self.value(item) for key, item in node.items()}

    def _reference(self, name: str) -> str:
        if name in self._resources:
            return self.name(name)
        if name == "AWS::AccountId" and name not in self._values:
            identity = aws.client(self._settings, "sts").get_caller_identity()
            self._values[name] = str(identity["Account"])
        return self._values[name]

    def _arn(self, logical: str) -> str:
        kind, name = self._resources[logical]["Type"], self.name(logical)
        if kind == "AWS::S3::Bucket":
            return f"arn:{_PARTITION}:s3:::{name}"
        account = self._reference("AWS::AccountId")
        return f"arn:{_PARTITION}:sqs:{self._settings.region}:{account}:{name}"

    def _substitute(self, text: str) -> str:
        parts = text.split("${")
        done = parts[0]
        for part in parts[1:]:
            name, _, rest = part.partition("}")
            logical, _, attribute = name.partition(".")
            done += (self._arn(logical) if attribute else self._reference(name)) + rest
        return done


_NAMES = ("BucketName", "QueueName", "TableName", "RoleName")


def _complete(settings: Settings, template: dict[str, Any], resolve: _Resolver) -> None:
    """Apply what a stand-in leaves out: queue policies, notifications and time to live."""
    s3, sqs = aws.client(settings, "s3"), aws.client(settings, "sqs")
    rows = template["Resources"]
    for row in rows.values():
        if row["Type"] == "AWS::SQS::QueuePolicy":
            policy = json.dumps(resolve.value(row["Properties"]["PolicyDocument"]))
            for queue in row["Properties"]["Queues"]:
                url = sqs.get_queue_url(QueueName=resolve.value(queue))["QueueUrl"]
                sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    for row in rows.values():
        properties = row.get("Properties", {})
        if "NotificationConfiguration" in properties:
            wanted = resolve.value(properties["NotificationConfiguration"]["QueueConfigurations"])
            s3.put_bucket_notification_configuration(
                Bucket=resolve.value(properties["BucketName"]),
                NotificationConfiguration={
                    "QueueConfigurations": [_notification(item) for item in wanted]
                },
            )
        if "TimeToLiveSpecification" in properties:
            wanted = ("TableName", "TimeToLiveSpecification")
            _expire(settings, resolve.value({key: properties[key] for key in wanted}))


def _notification(item: dict[str, Any]) -> dict[str, Any]:
    """Spell a queue configuration of CloudFormation as the API of S3 does."""
    spelled: dict[str, Any] = {"QueueArn": item["Queue"], "Events": [item["Event"]]}
    rules = [rule for rule in item["Filter"]["S3Key"]["Rules"] if rule["Value"]]
    if rules:
        spelled["Filter"] = {"Key": {"FilterRules": rules}}
    return spelled


def _expire(settings: Settings, table: dict[str, Any]) -> None:
    dynamodb = aws.client(settings, "dynamodb")
    name, wanted = table["TableName"], table["TimeToLiveSpecification"]
    now = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if now.get("TimeToLiveStatus") != "ENABLED":
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=wanted)
