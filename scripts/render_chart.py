"""Fill what the charts repeat: the copy of keda/, the settings in the schema, tables, dashboard.

scripts/render_chart.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from render_readme import replace

from shared.settings import Settings

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "silver-guardian"
KEDA = ROOT / "keda"
_COPIED = ("Chart.yaml", "values.yaml", "values.schema.json", "templates/*")
#: Settings that follow from other values of the chart: another one would break its pods.
OWNED = {
    *("prefix", "region", "endpoint_url", "queue_base_url"),  # global
    *("host", "metrics_port", "work_dir"),  # probes, Services and volumes
    *("exit_after_jobs", "grace_s"),  # keda.scaledJobs, gracePeriodS
    *("signing_key_file", "api_token"),  # signingSecret, console.tokenSecret
    "c2pa_trust_anchors",  # trustAnchors
}


def copies() -> Iterator[tuple[Path, str]]:
    """The keda chart as the dependency that lies in place."""
    for pattern in _COPIED:
        for path in sorted(KEDA.glob(pattern)):
            yield CHART / "charts" / "keda" / path.relative_to(KEDA), path.read_text()


def schema() -> Iterator[tuple[Path, str]]:
    """The names of the settings that may be set, so that others are refused before anything is."""
    path = CHART / "values.schema.json"
    names = [f"GUARDIAN_{name.upper()}" for name in Settings.model_fields if name not in OWNED]
    enum = f'"propertyNames": {{"enum": {json.dumps(names)}}}'
    yield path, re.sub(r'"propertyNames": \{"enum": \[.*?\]\}', enum, path.read_text())


def described(path: Path) -> Iterator[tuple[str, Any, str]]:
    """Key, default and sentence of every value that has a `# --` sentence."""
    text = path.read_text()
    values = yaml.safe_load(text)
    stack: list[tuple[int, str]] = []
    sentence = ""
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("# -- "):
            sentence = bare.removeprefix("# -- ")
        elif found := re.match(r"( *)([A-Za-z0-9]+):", line):
            depth, key = len(found[1]), found[2]
            stack = [item for item in stack if item[0] < depth] + [(depth, key)]
            if sentence:
                keys = [name for _, name in stack]
                value = values
                for name in keys:
                    value = value[name]
                yield ".".join(keys), value, sentence
            sentence = ""


def readme(chart: Path) -> Iterator[tuple[Path, str]]:
    """The table of a chart's values."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for key, value, sentence in described(chart / "values.yaml"):
        shown = json.dumps(value, ensure_ascii=False)
        cells = (f"`{key}`", f"`{shown}`", sentence)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    path = chart / "README.md"
    yield path, replace(path.read_text(), "values", "\n".join(rows))


def alerts() -> Iterator[tuple[Path, str]]:
    """The runbook: each alert, when it fires and what to do."""
    groups = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    lines = []
    for rule in (rule for group in groups for rule in group["rules"]):
        expression = " ".join(str(rule["expr"]).split())
        lines += [
            f"- **{rule['alert']}** ({rule['labels']['severity']}): `{expression}`",
            f"  {rule['annotations']['runbook']}",
        ]
    path = CHART / "ALERTS.md"
    yield path, replace(path.read_text(), "alerts", "\n".join(lines))


#: Title, unit and queries (legend, expression) of each panel.
PANELS = Path(__file__).with_name("panels.toml")


#: What tells installations apart, where several share a namespace, too.
_APART = ("namespace", "installation")


def _choice(label: str) -> dict[str, Any]:
    """Let somebody choose whose installations are shown; all of them at first."""
    return {
        "name": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "query": f"label_values(guardian_last_receive_timestamp_seconds, {label})",
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _of_one_installation(query: str) -> str:
    """Let every metric of a query be of the installations that are chosen."""
    chosen = "{" + ", ".join(f'{label}=~"${label}"' for label in _APART)
    query = re.sub(r"\b(guardian_\w+)(?![\w{])", rf"\1{chosen}}}", query)
    return re.sub(r"\b(guardian_\w+)\{(?!namespace)", rf"\1{chosen}, ", query)


def dashboard() -> Iterator[tuple[Path, str]]:
    """The Grafana dashboard, two panels a row."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels = [
        {
            "id": index + 1,
            "type": "timeseries",
            "title": panel["title"],
            "datasource": source,
            "gridPos": {"x": 12 * (index % 2), "y": 8 * (index // 2), "w": 12, "h": 8},
            "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
            "targets": [
                {
                    "refId": chr(65 + place),
                    "legendFormat": legend,
                    "expr": _of_one_installation(query.replace("$i", "$__rate_interval")),
                    "datasource": source,
                }
                for place, (legend, query) in enumerate(panel["queries"])
            ],
        }
        for index, panel in enumerate(tomllib.loads(PANELS.read_text())["panel"])
    ]
    document = {
        "uid": "silver-guardian",
        "title": "Silver Guardian",
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus"},
                *map(_choice, _APART),
            ]
        },
        "panels": panels,
    }
    yield CHART / "files" / "dashboard.json", json.dumps(document, indent=1) + "\n"


def main() -> int:
    """Write the files, or with --check only say which are stale."""
    check = "--check" in sys.argv[1:]
    stale = 0
    for path, text in [
        *copies(),
        *schema(),
        *readme(KEDA),
        *readme(CHART),
        *alerts(),
        *dashboard(),
    ]:
        if path.is_file() and path.read_text() == text:
            continue
        stale += 1
        print(f"{path.relative_to(ROOT)} {'is stale' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
