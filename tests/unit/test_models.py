"""The registry refuses what is missing or altered, and opens what is sound."""

import os
import shutil
import subprocess
import sys

import pytest

from shared.errors import ModelCorrupt, ModelMissing, SetupError
from shared.models import CUDA, CUDA_OPTIONS, PACKAGED, Registry


@pytest.fixture
def copy(tmp_path):
    directory = tmp_path / "models"
    shutil.copytree(PACKAGED, directory)
    return directory


def onnx_entry(registry):
    return next(entry for entry in registry.entries.values() if entry.file.endswith(".onnx"))


def test_every_packaged_model_has_its_digest_licence_and_card():
    registry = Registry()
    assert registry.entries
    for entry in registry.entries.values():
        registry.verify(entry.name)
        assert entry.licence
        assert entry.training_data


def test_an_altered_model_is_refused(copy):
    entry = onnx_entry(Registry(copy))
    with (copy / entry.file).open("ab") as file:
        file.write(b"x")

    with pytest.raises(ModelCorrupt, match=entry.file):
        Registry(copy).session(entry.name)


def test_a_missing_model_is_named(copy):
    entry = onnx_entry(Registry(copy))
    (copy / entry.file).unlink()

    with pytest.raises(ModelMissing, match=entry.file):
        Registry(copy).verify(entry.name)
    with pytest.raises(ModelMissing, match="no model 'oracle'"):
        Registry(copy).entry("oracle")


def test_a_missing_or_broken_manifest_is_a_clear_error(tmp_path):
    with pytest.raises(ModelMissing, match="manifest"):
        Registry(tmp_path)
    (tmp_path / "models.toml").write_text("not toml at all [")
    with pytest.raises(SetupError, match="cannot be read"):
        Registry(tmp_path)
    (tmp_path / "models.toml").write_text("[voice]\nfile='x'\n")
    with pytest.raises(SetupError, match="wrong table"):
        Registry(tmp_path)


def test_the_model_set_has_one_digest(copy):
    before = Registry(copy).digest
    text = (copy / "models.toml").read_text()
    entry = onnx_entry(Registry(copy))
    (copy / "models.toml").write_text(text.replace(entry.sha256, "0" * 64))

    assert Registry(copy).digest != before


def test_sessions_run_where_they_say(copy):
    registry = Registry(copy, device="cpu", threads=1)

    session = registry.session(onnx_entry(registry).name)

    assert session.get_providers() == ["CPUExecutionProvider"]


def test_cuda_is_asked_for_without_trials_for_each_new_shape_and_must_be_had(copy, monkeypatch):
    asked = []

    class Session:
        def __init__(self, _content, sess_options, providers):
            asked.extend(providers)

        def get_providers(self):
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: [CUDA, "CPUExecutionProvider"]
    )
    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    registry = Registry(copy, device="cuda")

    with pytest.raises(SetupError, match="could not use it here"):
        registry.session(onnx_entry(registry).name)

    assert asked == [(CUDA, CUDA_OPTIONS), "CPUExecutionProvider"]
    assert CUDA_OPTIONS["cudnn_conv_algo_search"] == "HEURISTIC"


def test_a_session_does_not_report_to_the_makers_of_its_runtime(tmp_path):
    code = (
        "from shared.models import Registry; r = Registry(); "
        "r.session(next(n for n, e in r.entries.items() if e.file.endswith('.onnx')))"
    )
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True
    )

    assert list(tmp_path.iterdir()) == [], "onnxruntime keeps the id of its reports there"
