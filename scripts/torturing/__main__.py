"""Runs the fleet twice on the same files, in a calm and in a storm, and compares all verdicts.

    scripts/torture --short --json
    scripts/torture --uploads 300 --seed 7 --json

In the storm AWS fails, throttles and is cut off for 20 s, messages are doubled, delayed, shuffled
and lost, and every process is killed again and again. The last line is one line of JSON; the exit
status is 0 only when every upload has one job, every job one final state, every verdict is that of
the calm, the queues are empty, the dead letters explained, and no file or process is left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torturing import files
from torturing.run import Plan, Run, calm, storm

SHORT_UPLOADS, LONG_UPLOADS = 40, 300
#: Time of the storm: a fixed part for its blows, and a part for each upload.
_STORM_S, _STORM_UPLOAD_S = 40.0, 0.4


def main() -> int:
    """Run both, print the outcome, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help=f"{SHORT_UPLOADS} uploads")
    parser.add_argument("--uploads", type=int, help=f"how many files; {LONG_UPLOADS} else")
    parser.add_argument("--seed", type=int, default=0, help="0 takes a new one, and prints it")
    parser.add_argument("--json", action="store_true", help="no progress, only the last line")
    parser.add_argument("--patience", type=float, default=90, help="seconds without any progress")
    parser.add_argument("--keep", type=Path, help="keep files and logs in this directory")
    options = parser.parse_args()
    uploads = options.uploads or (SHORT_UPLOADS if options.short else LONG_UPLOADS)
    seed = options.seed or random.SystemRandom().randrange(1, 10**6)
    with ExitStack() as stack:
        directory = options.keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-"))
        )
        outcome = torture(directory, uploads, seed, options.patience, quiet=options.json)
    print(json.dumps(outcome))
    return 0 if outcome["ok"] else 1


def torture(
    directory: Path, uploads: int, seed: int, patience_s: float, *, quiet: bool
) -> dict[str, Any]:
    """Make the files, run calm and storm, and return the outcome as JSON values."""
    started, rng = time.monotonic(), random.Random(seed)
    os.environ.update(AWS_ACCESS_KEY_ID="torture", AWS_SECRET_ACCESS_KEY="torture")  # noqa: S106  # no secret

    def say(text: str) -> None:
        if not quiet:
            print(f"{time.monotonic() - started:6.1f} s  {text}", file=sys.stderr, flush=True)

    say(f"seed {seed}: making {uploads} files")
    (directory / "files").mkdir(parents=True)
    wanted = files.make(directory / "files", uploads, rng)
    storm_s = _STORM_S + _STORM_UPLOAD_S * uploads
    plan = Plan(directory, wanted, rng, storm_s, patience_s, say)
    say("the calm begins")
    expected = calm(plan)
    say("the storm begins")
    result: Run = storm(plan, expected)
    kinds = Counter(file.kind for file in wanted)
    return {
        "ok": not result.reckoning.problems,
        "seed": seed,
        "uploads": uploads,
        "kinds": dict(kinds),
        **{name: dict(sorted(counts.items())) for name, counts in result.counts.items()},
        "jobs": dict(sorted(result.reckoning.counts.items())),
        "problems": result.reckoning.problems,
        "seconds": round(time.monotonic() - started, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
