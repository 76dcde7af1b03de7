"""A process of the fleet's settings that uploads recordings and asks for one half of each.

It reads lines "MODALITY KEY PATH" and answers each with the id of its job; without events and
without intake, so that what is measured is one worker alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from shared import aws, objects, queues
from shared.jobs import JobStore
from shared.settings import Settings, get_settings
from workers import local, probe


class Asker:
    """The parent's end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, modality: str, key: str, path: Path) -> str:
        """Upload a file and ask for one half; return the id of the job."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([modality, key, str(path)]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise SystemExit("The process that asks for analyses ended.")
        return answer


@contextmanager
def asker(settings: Settings) -> Iterator[Asker]:
    """Run the process; it ends with the block."""
    aws.client(settings, "s3").put_bucket_notification_configuration(
        Bucket=settings.uploads_bucket, NotificationConfiguration={}
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "benching.asking"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **local.as_environment(settings)},
    )
    try:
        yield Asker(process)
    finally:
        process.communicate()


def main() -> None:
    """Upload and ask, line by line."""
    settings = get_settings()
    store, s3 = JobStore(settings), aws.client(settings, "s3")
    for line in sys.stdin:
        modality, key, path = json.loads(line)
        body = probe.unlike_any_other(Path(path).read_bytes())  # which takes no other's result
        answer = s3.put_object(Bucket=settings.uploads_bucket, Key=key, Body=body)
        upload = objects.as_upload(settings.uploads_bucket, key, answer)
        store.create(upload, datetime.now(UTC))
        queues.send_analysis(settings, modality, upload.job_id)
        print(upload.job_id, flush=True)


if __name__ == "__main__":
    main()
