"""Settings: names, errors that list every bad key, and what is told of misspelt ones."""

import logging
import re
from pathlib import Path

import pytest

from shared.errors import GuardianError, SettingsInvalid
from shared.settings import Settings, get_settings, unknown_variables

_TEXTS = {".py", ".tpl", ".yaml", ".json", ".md", ".toml", ".sh"}


@pytest.fixture(autouse=True)
def _fresh():
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_aws_names_come_from_one_prefix(monkeypatch):
    monkeypatch.setenv("GUARDIAN_PREFIX", "acme")

    settings = get_settings()

    assert settings.uploads_bucket == "acme-uploads"
    assert settings.reports_bucket == "acme-reports"
    assert settings.table == "acme-jobs"
    assert settings.queue("aggregate") == "acme-aggregate"
    assert settings.dead_letter_queue("audio") == "acme-audio-dlq"


def test_the_endpoint_is_found_under_both_names(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert Settings().endpoint_url == "http://127.0.0.1:1"
    monkeypatch.setenv("GUARDIAN_ENDPOINT_URL", "http://127.0.0.1:2")
    assert Settings().endpoint_url == "http://127.0.0.1:2"


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name != "prefix"])
def test_a_variable_without_a_value_sets_nothing(monkeypatch, name):
    default = Settings()
    monkeypatch.setenv(f"GUARDIAN_{name.upper()}", "")

    assert Settings() == default


def test_every_bad_key_is_listed(monkeypatch):
    monkeypatch.setenv("GUARDIAN_PRIOR", "2")
    monkeypatch.setenv("GUARDIAN_SAMPLE_RATE", "often")

    with pytest.raises(SettingsInvalid, match=r"GUARDIAN_SAMPLE_RATE.*GUARDIAN_PRIOR"):
        get_settings()


@pytest.mark.parametrize(
    ("content", "why"), [(None, "not point to a file"), ("x", "no certificate")]
)
def test_anchors_that_vouch_for_nobody_are_refused_at_the_start(
    monkeypatch, tmp_path, content, why
):
    path = tmp_path / "anchors.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv("GUARDIAN_C2PA_TRUST_ANCHORS", str(path))

    with pytest.raises(SettingsInvalid, match=f"C2PA_TRUST_ANCHORS: .*{why}"):
        get_settings()


def test_anchors_that_cannot_be_read_are_refused_in_a_sentence(monkeypatch):
    monkeypatch.setenv("GUARDIAN_C2PA_TRUST_ANCHORS", "/proc/self/mem")  # nothing is at its start

    with pytest.raises(SettingsInvalid, match=r"C2PA_TRUST_ANCHORS: .*cannot be read"):
        get_settings()


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Settings().prior = 0.1


def test_an_unknown_queue_is_named():
    with pytest.raises(SettingsInvalid, match="'mail'"):
        Settings().queue("mail")


def _tree(cls):
    return [cls, *(leaf for child in cls.__subclasses__() for leaf in _tree(child))]


def test_every_error_has_a_docstring_and_a_code_of_its_own():
    classes = _tree(GuardianError)
    assert all(cls.__doc__ for cls in classes)
    codes = [cls.code for cls in classes]
    assert len(codes) == len(set(codes))
    assert classes[1]().message == classes[1].__doc__.splitlines()[0]


def test_a_misspelt_variable_is_told_with_the_one_that_is_meant(monkeypatch, caplog):
    monkeypatch.setenv("GUARDIAN_DEVCIE", "cuda")

    with caplog.at_level(logging.WARNING):
        get_settings()

    assert unknown_variables() == ["GUARDIAN_DEVCIE"]
    (record,) = caplog.records
    assert record.getMessage() == (
        "GUARDIAN_DEVCIE is no setting and sets nothing (is GUARDIAN_DEVICE meant?)."
    )


@pytest.mark.parametrize("folder", ["scripts", "workers", "deploy", "docs"])
def test_every_variable_that_is_written_down_is_a_setting(folder):
    known = {f"GUARDIAN_{name.upper()}" for name in Settings.model_fields}
    root = Path(__file__).parents[2] / folder
    texts = (path for path in root.rglob("*") if path.suffix in _TEXTS or path.parent == root)
    written = {
        name
        for path in texts
        if path.is_file()
        for name in re.findall(r"GUARDIAN_[A-Z0-9_]+", path.read_text(errors="ignore"))
    }

    assert written
    assert written - known == set()
