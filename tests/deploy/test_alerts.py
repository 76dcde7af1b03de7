"""The alerts are valid, each fires in a test of its own, and each names a declared metric."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

from shared import series, telemetry
from shared.records import Label
from shared.settings import QUEUES
from workers import probe
from workers.aggregator import outbox, sweeper

ROOT = Path(__file__).parents[2]
CASES = sorted(Path(__file__).parent.glob("alerts*.test.yaml"))


@pytest.fixture
def rules(render, tmp_path):
    """The rules as the chart installs them, in a file beside their tests."""
    (item,) = render({"monitoring": {"prometheusRule": True}}).of("PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(item["spec"]))
    for cases in CASES:
        (tmp_path / cases.name).write_text(cases.read_text())
    return tmp_path / "rules.yaml"


def declared():
    """Names of the samples of every metric in the code."""
    assert telemetry.TASKS
    return {
        name
        for metric in REGISTRY.collect()
        for suffix in ("", "_total", "_bucket", "_sum", "_count")
        if (name := metric.name + suffix).startswith("guardian_")
    }


def families():
    """Name of every metric in the code, as a query says it."""
    return {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in REGISTRY.collect()
        if metric.name.startswith("guardian_")
    }


def named(text):
    return set(re.findall(r"\bguardian_[a-z_]+", text))


def test_each_alert_fires_on_its_symptom_and_is_silent_beside_it(promtool, rules):
    cases = [rules.parent / path.name for path in CASES]
    for command in (["check", "rules", rules], ["test", "rules", *cases]):
        done = subprocess.run([promtool, *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_its_test(rules):
    alerts = {rule["alert"] for rule in yaml.safe_load(rules.read_text())["groups"][0]["rules"]}
    fired = {
        case["alertname"]
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }

    assert fired == alerts


def test_cases_use_label_values_that_processes_emit():
    known = {
        ("guardian_events_total", "outcome"): set(series.EVENT_OUTCOMES),
        ("guardian_verdicts_total", "label"): set(Label),
        ("guardian_tasks_total", "outcome"): set(series.TASK_OUTCOMES),
        ("guardian_sweeper_repairs_total", "kind"): set(sweeper.KINDS),
        ("guardian_deliveries_total", "outcome"): set(outbox.OUTCOMES),
        ("guardian_probes_total", "clip"): set(probe.CLIPS),
        ("guardian_queue_messages", "queue"): set(QUEUES),
    }
    used = {
        (*found, value)
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for one in test["input_series"]
        for label, value in re.findall(r'(\w+)="([^"]*)"', one["series"])
        if (found := (one["series"].partition("{")[0], label)) in known
    }

    assert {(name, label) for name, label, _ in used} == set(known)
    assert [one for one in used if one[2] not in known[one[:2]]] == []


def test_alerts_name_declared_metrics(rules):
    for rule in yaml.safe_load(rules.read_text())["groups"][0]["rules"]:
        metrics = named(rule["expr"])
        assert metrics
        assert metrics <= declared(), rule["alert"]


def test_alerts_keep_installations_apart(rules, render):
    for rule in yaml.safe_load(rules.read_text())["groups"][0]["rules"]:
        told = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        assert told, rule["alert"]
        assert all(labels.startswith("namespace, installation") for labels in told), rule["alert"]
    values = {"monitoring": {"serviceMonitor": True}, "global": {"prefix": "one"}}
    (monitor,) = render(values).of("ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "installation", "replacement": "one"}]


def test_every_alert_says_what_happened_and_what_to_do(rules):
    for rule in yaml.safe_load(rules.read_text())["groups"][0]["rules"]:
        assert set(rule["annotations"]) == {"summary", "runbook"}
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_the_dashboard_asks_for_declared_metrics_in_valid_queries(promtool, render, tmp_path):
    (item,) = render({"monitoring": {"dashboard": True}}).of("ConfigMap")
    document = json.loads(item["data"]["silver-guardian.json"])
    queries = [target["expr"] for panel in document["panels"] for target in panel["targets"]]
    rules = [
        {"record": f"panel:{index}", "expr": query.replace("$__rate_interval", "5m")}
        for index, query in enumerate(queries)
    ]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", path], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    chosen = {one["name"]: one.get("allValue") for one in document["templating"]["list"]}
    # those without such a label, too
    assert chosen == {"source": None, "namespace": ".*", "installation": ".*"}
    apart = r'{namespace=~"\$namespace", installation=~"\$installation"'
    of_one = re.findall(rf"\bguardian_\w+({apart})?", " ".join(queries))
    assert all(of_one), "a panel sums the installations up"
    shown = named(" ".join(queries))
    assert shown <= declared()
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in shown} >= families()
    assert item["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_a_wrong_rule_is_found(promtool, rules):
    rules.write_text(rules.read_text().replace("> 900", "> 90000"))
    command = [promtool, "test", "rules", rules.parent / "alerts.test.yaml"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode != 0
