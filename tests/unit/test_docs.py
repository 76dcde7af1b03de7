"""What is written twice is the same twice."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import render_readme

import shared
import workers

ROOT = Path(__file__).parents[2]


def test_the_readme_lists_the_settings_as_they_are():
    program = ROOT / "scripts" / "render_readme.py"
    done = subprocess.run([sys.executable, str(program), "--check"])

    assert done.returncode == 0, "run scripts/render_readme.py"


def test_every_script_has_its_line():
    listed = (ROOT / "scripts" / "README.md").read_text()
    programs = [path.name for path in (ROOT / "scripts").iterdir() if path.is_file()]

    assert [name for name in programs if name != "README.md" and f"`{name}`" not in listed] == []


def test_every_module_has_its_layer():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = settings["contracts"][0]["layers"]
    named = {name for layer in layers for name in layer.split(" | ")}
    modules = {
        f"{package}.{path.stem}"
        for package in ("shared", "workers")
        for path in (ROOT / package).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    assert modules - {"shared.__init__", "workers.__init__"} == named


def test_both_packages_belong_to_this_distribution_alone():
    owners = packages_distributions()  # an editable install is not listed at all

    for name in ("shared", "workers"):
        assert set(owners.get(name, [])) <= {"silver-guardian"}
    assert Path(shared.__file__).parents[1] == Path(workers.__file__).parents[1]


def test_a_page_without_its_markers_is_not_taken_for_up_to_date():
    with pytest.raises(ValueError, match="no markers of settings"):
        render_readme.replace("# A page\n", "settings", "a table")
