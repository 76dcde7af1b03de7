"""Renders the charts as helm does, and knows what a valid object is."""

import json
import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import helm_python as helm
import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "silver-guardian"
KEDA = ROOT / "keda"
SCHEMAS = Path(__file__).parent / "schemas"
KUBERNETES = ("1.30", "1.34")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.deploy)


class Rendered(list):
    """The objects of one rendered chart."""

    def of(self, kind, name=None):
        """Return the objects of a kind, or the one whose name ends so."""
        found = [item for item in self if item["kind"] == kind]
        if name is None:
            return found
        (one,) = [item for item in found if item["metadata"]["name"].endswith(name)]
        return one

    def container(self, component):
        (one,) = self.of("Deployment", f"-{component}")["spec"]["template"]["spec"]["containers"]
        return one

    def environment(self, component):
        return {item["name"]: item.get("value") for item in self.container(component)["env"]}


def _render(values=None, chart=CHART, name="sg", namespace="guardian"):
    with helm.Chart.load(str(chart)) as loaded:
        files = loaded.render(values or {}, name=name, namespace=namespace)
    rendered = Rendered()
    for path, text in files.items():
        if path.endswith(".yaml"):
            rendered.extend(item for item in yaml.safe_load_all(text) if item)
    rendered.notes = files[f"{chart.name}/templates/NOTES.txt"]
    return rendered


@pytest.fixture(scope="session")
def render():
    """Render a chart with values, which its schema checks first."""
    return _render


@pytest.fixture(scope="session")
def defaults():
    return _render()


def _example_values():
    named = {path.stem: yaml.safe_load(path.read_text()) for path in CHART.glob("examples/*.yaml")}
    return {"defaults": {}, **named}


EXAMPLES = _example_values()


@pytest.fixture(params=EXAMPLES)
def example(request):
    """Each example values file, rendered."""
    return _render(EXAMPLES[request.param])


def _violations(item):
    """Say what an API server would refuse in an object."""
    group = item["apiVersion"].partition("/")[0]
    named = {"keda.sh": "keda", "monitoring.coreos.com": "monitoring"}
    if group in named:
        schema = json.loads((SCHEMAS / f"{named[group]}.json").read_text())
        if item["kind"] not in schema["$defs"]:
            return [f"{group} has no {item['kind']}"]
        schema["$ref"] = f"#/$defs/{item['kind']}"
        errors = list(jsonschema.Draft202012Validator(schema).iter_errors(item))
        if item["kind"] == "ScaledJob":
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}}
            job["spec"] = item["spec"]["jobTargetRef"]
            return [error.message for error in errors] + _violations(job)
        return [error.message for error in errors]
    return [found for found in [_refused(json.dumps(item))] if found]


@lru_cache(maxsize=1000)  # the examples share most objects
def _refused(item):
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(json.loads(item), version, strict=True)
        except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
            return error.message
        except kubernetes_validate.SchemaNotFoundError as error:
            return str(error)
    return None


@pytest.fixture(scope="session")
def violations():
    return _violations


@pytest.fixture(scope="session")
def promtool():
    """Path of promtool: fetched if need be; where it cannot be had, a laptop skips and CI fails."""
    fetched = subprocess.run(
        [ROOT / "scripts" / "get-promtool"], check=False, capture_output=True, text=True
    )
    found = shutil.which("promtool") or ROOT / ".venv" / "bin" / "promtool"
    if fetched.returncode and not Path(found).is_file():
        if os.environ.get("CI"):
            pytest.fail(f"promtool is missing: {fetched.stderr}")
        pytest.skip(f"promtool is missing: {fetched.stderr}")
    return str(found)
