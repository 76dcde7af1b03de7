"""Uploading from the command line: what S3 answers is told as it is."""

import json

import pytest
from click.testing import CliRunner

from shared.settings import get_settings
from workers.cli import main
from workers.samples import SAMPLES

pytestmark = pytest.mark.integration


def test_a_bucket_that_is_not_there_is_one_sentence(endpoint_url, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint_url)
    monkeypatch.setenv("GUARDIAN_PREFIX", "nobody-has-this")
    monkeypatch.setattr("sys.argv", ["guardian", "submit", "--json"])
    get_settings.cache_clear()

    done = CliRunner().invoke(main, ["submit", str(SAMPLES[0]), "--no-wait", "--json"])
    get_settings.cache_clear()

    assert done.exit_code == 1
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["code"] == "setup"
    assert "NoSuchBucket" in error["message"]
