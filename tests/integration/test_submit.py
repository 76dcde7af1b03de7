"""Uploading from the command line and through the console: what S3 answers is told as it is."""

import json

import httpx
import pytest
from click.testing import CliRunner

from shared import aws
from shared.errors import ObjectGone
from shared.settings import get_settings
from workers.cli import main
from workers.console import uploads
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


@pytest.mark.parametrize("versions", ["Enabled", "Suspended"])
def test_whoever_closes_an_upload_twice_learns_of_the_same_job(aws_settings, versions):
    s3 = aws.client(aws_settings, "s3")
    bucket = aws_settings.uploads_bucket
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": versions})
    new = uploads.NewUpload(name="한국어 1+1.mp4", size_bytes=3)
    parts = uploads.begin(aws_settings, new, uploads.new_key(new))
    uploading = uploads.Uploading(key=parts.key, upload_id=parts.upload_id)
    with pytest.raises(ObjectGone, match="No part"):
        uploads.complete(aws_settings, uploading)
    assert httpx.put(parts.urls[0], content=b"abc").status_code == 200

    first = uploads.complete(aws_settings, uploading)

    assert uploads.complete(aws_settings, uploading) == first
    with pytest.raises(ObjectGone):
        uploads.complete(aws_settings, uploading.model_copy(update={"key": "uploads/other"}))
