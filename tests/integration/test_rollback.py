"""What a later release has stored is read without what it added: a rollback loses nothing."""

import json
from datetime import UTC, datetime

import pytest

from shared import audit, feedback, flags, items, presence

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)
ROWS = {
    "worker": {"name": "w", "role": "video", "started_at": NOW, "seen_at": NOW},
    "pause": {"queue": "video", "by": "somebody", "at": NOW},
    "audit": {"at": NOW, "who": "somebody", "action": "pause", "target": "video"},
    "feedback": {
        "job_id": "j",
        "truth": "genuine",
        "label": "suspicious",
        "probability": 0.5,
        "llr": 0.0,
        "model": {"name": "fusion", "version": "1", "sha256": "0" * 64, "later": 1},
        "given_at": NOW,
    },
}


def test_rows_with_more_fields_are_read(aws_settings):
    for kind, row in ROWS.items():
        body = json.loads(json.dumps({**row, "later": {"more": 1}}, default=str))
        items.put(aws_settings, kind, "video", body, NOW, 60)

    assert [worker.name for worker in presence.alive(aws_settings, NOW)] == ["w"]
    assert flags.pauses(aws_settings)["video"].by == "somebody"
    assert [entry.action for entry in audit.newest(aws_settings)] == ["pause"]
    assert [row.truth for row in feedback.every(aws_settings)] == ["genuine"]
    assert feedback.of(aws_settings, "video").truth == "genuine"
