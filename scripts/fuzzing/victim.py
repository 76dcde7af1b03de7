"""A long-lived process that analyses one file after another, as `guardian analyze` would.

Reads lines `{"path": …, "models": …}` and answers each with a line. An error that is not of ours
ends it, as it would end the command: whoever started it counts that as a crash.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import GuardianError
from shared.models import Registry
from shared.settings import Settings
from workers import onefile
from workers.aggregator import fusion
from workers.audio import pipeline as audio
from workers.video import pipeline as video

#: Seconds that one decoder may keep waiting; a file needs up to about eight decoders.
DECODE_S = 10


class _Deaf:
    """A voice detector's session that hears nobody."""

    def run(self, _: object, inputs: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Return no probability of speech, and the states as they were."""
        frames = len(inputs["input"])
        return np.zeros(frames, dtype=np.float32), inputs["h"], inputs["c"]


class _Blind:
    """A face finder that sees nobody."""

    def find(self, _: object) -> list[Any]:
        """Return no face."""
        return []


def main() -> None:
    """Answer until the input ends."""
    settings = Settings(decode_timeout_s=DECODE_S, device="cpu", threads=1)
    registry = Registry(settings.models_dir, device="cpu", threads=1)
    hear, look, model = audio.load(registry), video.load(registry), fusion.load(registry)
    seeing = onefile.Loaded(onefile.pipelines(settings, hear, look), model)
    deaf: Any = replace(hear, voice_activity=_Deaf())
    blind: Any = replace(look, finder=_Blind())
    senseless = onefile.Loaded(onefile.pipelines(settings, deaf, blind), model)
    _answer({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        started = time.monotonic()
        found = _analyse(settings, Path(asked["path"]), seeing if asked["models"] else senseless)
        spent = {"seconds": round(time.monotonic() - started, 2)}
        _answer(found | spent | _held())


def _analyse(settings: Settings, path: Path, loaded: onefile.Loaded) -> dict[str, Any]:
    """Return the code of a refusal, or what each half came to."""
    try:
        job, analyses = onefile.analyze_file(settings, path, loaded)
    except GuardianError as error:
        return {"refused": error.code}
    halves = {
        modality: analysis.result.reason or str(analysis.result.outcome)
        for modality, analysis in analyses.items()
    }
    return {"halves": halves, "label": job.verdict.label if job.verdict else None}


def _held() -> dict[str, int]:
    """Return what a leak would make grow."""
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "children": sum(
            len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children")
        ),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _answer(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
