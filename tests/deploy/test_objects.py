"""Every object of every example is what an API server with KEDA and Prometheus' CRDs accepts."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import helm_python as helm
import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "silver-guardian"
KEDA = ROOT / "keda"
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"}
_VOLUMES |= {"projected", "secret"}


def pod_specs(objects):
    for item in objects:
        if item["kind"] == "Deployment":
            yield item["spec"]["template"]["spec"]
        elif item["kind"] == "ScaledJob":
            yield item["spec"]["jobTargetRef"]["template"]["spec"]


def unrestricted(pod):
    """Say where a pod spec breaks the restricted Pod Security Standard, or may write its root."""
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    context = pod.get("securityContext", {})
    for volume in pod.get("volumes", []):
        found += [kind for kind in volume if kind != "name" and kind not in _VOLUMES]
    if context.get("sysctls"):
        found.append("sysctls")
    for container in pod.get("initContainers", []) + pod["containers"]:
        own = {**context, **container.get("securityContext", {})}
        checks = {
            "hostPort": not any("hostPort" in port for port in container.get("ports", [])),
            "privileged": not own.get("privileged", False),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "runAsNonRoot": own.get("runAsNonRoot") is True,
            "runAsUser": own.get("runAsUser") != 0,
            "seccompProfile": own.get("seccompProfile", {}).get("type")
            in ("RuntimeDefault", "Localhost"),
            "capabilities.drop": "ALL" in own.get("capabilities", {}).get("drop", []),
            "capabilities.add": set(own.get("capabilities", {}).get("add", []))
            <= {"NET_BIND_SERVICE"},
            "procMount": own.get("procMount", "Default") == "Default",
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
        }
        found += [name for name, holds in checks.items() if not holds]
    return found


def test_two_releases_in_one_namespace_share_no_object_and_select_only_their_own_pods(render):
    values = {
        "monitoring": dict.fromkeys(("serviceMonitor", "prometheusRule", "dashboard"), True),
        "keda": {"scaledJobs": {"workers": ["video"]}},
    }
    one, two = (render(values, name=name) for name in ("one", "two"))
    names = [{(item["kind"], item["metadata"]["name"]) for item in each} for each in (one, two)]

    assert names[0] & names[1] == set()
    assert {"ScaledJob", "ScaledObject", "NetworkPolicy"} <= {kind for kind, _ in names[0]}
    selectors = [
        item["spec"][field]
        for item in one
        for field in ("selector", "podSelector")
        if field in item.get("spec", {})
    ]
    assert len(selectors) > 5
    of_release = [one_of.get("matchLabels", one_of) for one_of in selectors]
    assert {labels["app.kubernetes.io/instance"] for labels in of_release} == {"one"}


def test_an_api_server_accepts_every_object(example, violations):
    assert [(item["kind"], found) for item in example if (found := violations(item))] == []


def test_objects_have_names_of_their_own(example):
    names = [(item["kind"], item["metadata"]["name"]) for item in example]

    assert len(names) == len(set(names))


def test_pods_are_restricted(example):
    assert [unrestricted(pod) for pod in pod_specs(example)] == [[]] * len(list(pod_specs(example)))


def test_the_keda_chart_installs_alone(render, violations):
    alone = render({"global": {"name": "guardian"}}, chart=KEDA)

    assert [violations(item) for item in alone] == [[]] * 5
    assert {item["spec"]["scaleTargetRef"]["name"] for item in alone.of("ScaledObject")} == {
        *("guardian-intake", "guardian-audio", "guardian-video", "guardian-aggregator")
    }


@pytest.mark.parametrize("chart", [CHART, KEDA], ids=lambda path: path.name)
def test_helm_lints_strictly(chart):
    report = helm.lint(str(chart), {}, strict=True, with_subcharts=True)

    warning = 2
    assert report["errors"] == []
    assert [found for found in report["messages"] if found["severity"] >= warning] == []


def test_what_is_generated_is_fresh():
    program = ROOT / "scripts" / "render_chart.py"
    done = subprocess.run(
        [sys.executable, str(program), "--check"], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, f"{done.stdout}run scripts/render_chart.py"


def test_the_values_are_a_manual_of_bearable_length():
    for chart in (CHART, KEDA):
        assert len((chart / "values.yaml").read_text().splitlines()) <= 250


@pytest.mark.parametrize("chart", [CHART, KEDA], ids=lambda path: path.name)
def test_every_value_has_its_sentence(chart):
    previous = ""
    bare = []
    for line in (chart / "values.yaml").read_text().splitlines():
        is_leaf = ":" in line and not line.strip().startswith(("#", "-"))
        opens_a_group = line.rstrip().endswith(":")
        inside_an_example = line.strip().startswith(("requests", "limits"))
        if is_leaf and not opens_a_group and not inside_an_example and "# -- " not in previous:
            bare.append(line)
        previous = line
    assert bare == []


@pytest.mark.parametrize("chart", [CHART, KEDA], ids=lambda path: path.name)
def test_schema_and_values_name_the_same_keys(chart):
    schema = json.loads((chart / "values.schema.json").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())

    def resolved(part):
        if "$ref" in part:
            return resolved(schema["$defs"][part["$ref"].rpartition("/")[2]])
        if "allOf" in part:
            return resolved(part["allOf"][0])
        return part

    def differing(part, value, where):
        part = resolved(part)
        if not isinstance(value, dict) or "properties" not in part:
            return []
        if where.endswith(("requests", "limits")):
            return []
        found = [f"{where}.{key}" for key in set(part["properties"]) ^ set(value)]
        for key in set(part["properties"]) & set(value):
            found += differing(part["properties"][key], value[key], f"{where}.{key}")
        return found

    assert differing(schema, values, "") == []


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicas": 3}, "replicas"),
        ({"audio": {"gpu": 1}}, "gpu"),
        ({"settings": {"GUARDIAN_PRIOUR": "0.1"}}, "GUARDIAN_PRIOUR"),
        ({"keda": {"scalers": {"audio": {"maximum": 3}}}}, "maximum"),
        ({"keda": {"scalers": {"aggregator": {"min": 0}}}}, "minimum"),
        ({"keda": {"fallback": {"replicas": 0}}}, "minimum"),
        ({"global": {"queueBaseUrl": "sqs.example.com"}}, "pattern"),
        ({"intake": {"roleArn": "silver-guardian-intake"}}, "pattern"),
        ({"image": {"pullPolicy": "Sometimes"}}, "one of"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_unknown_or_impossible_value_is_refused(render, values, named):
    with pytest.raises(helm.HelmError, match=named):
        render(values)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "containers", 0, "comand"), []),
        ("Deployment", ("spec", "replica"), 2),
        ("NetworkPolicy", ("spec", "policyTypes"), "Egress"),
        ("ScaledObject", ("spec", "minReplicas"), 0),
        ("ScaledObject", ("spec", "triggers", 0, "metadata", "queueLength"), 5),
        ("ScaledObject", ("spec", "triggers", 0, "metadata", "queueUrl"), "a"),
        ("ScaledObject", ("spec", "fallback", "behaviour"), "static"),
        ("TriggerAuthentication", ("spec", "podIdentity", "provider"), "aws-eks"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "interval"), 30),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "annotation"), {}),
    ],
    ids=lambda value: str(value)[-50:],
)
def test_a_wrong_field_is_found(render, violations, kind, path, value):
    monitored = {"serviceMonitor": True, "prometheusRule": True}
    item = copy.deepcopy(render({"monitoring": monitored}).of(kind)[0])
    part = item
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value

    assert violations(item)


@pytest.mark.parametrize(
    ("where", "value", "named"),
    [
        (("securityContext", "runAsNonRoot"), False, "runAsNonRoot"),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}, "seccompProfile"),
        (("hostNetwork",), True, "hostNetwork"),
        (("volumes",), [{"name": "a", "hostPath": {"path": "/"}}], "hostPath"),
        (("containers", 0, "securityContext", "capabilities"), {"drop": []}, "capabilities.drop"),
        (("containers", 0, "securityContext", "readOnlyRootFilesystem"), False, "readOnlyRoot"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_pod_with_privileges_is_found(defaults, where, value, named):
    pod = copy.deepcopy(next(pod_specs(defaults)))
    part = pod
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value

    assert [found for found in unrestricted(pod) if found.startswith(named)]


def test_the_schemas_are_schemas():
    for path in (Path(__file__).parent / "schemas").glob("*.json"):
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
