"""Feeds damaged media or events to the code that reads them, and counts what goes wrong.

    scripts/fuzz media --inputs 2000 --seed 1 --json
    scripts/fuzz events --inputs 20000 --seed 1 --json

The last line is one line of JSON; the exit status is 0 only where nothing crashed, hung, leaked,
was left behind or touched the canary.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path

from fuzzing import events, media


def main() -> int:
    """Run what is asked for, print the outcome, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["media", "events"])
    parser.add_argument("--inputs", type=int, help="how many; 2000 media or 20000 events else")
    parser.add_argument("--seed", type=int, default=0, help="0 takes a new one, and prints it")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="keep media that did harm in this directory")
    parser.add_argument("--json", action="store_true", help="no progress, only the last line")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 10**6)
    started = time.monotonic()

    def say(text: str) -> None:
        if not options.json:
            print(f"{time.monotonic() - started:6.1f} s  {text}", file=sys.stderr, flush=True)

    if options.what == "media":
        plan = media.Plan(options.inputs or 2000, seed, options.processes, options.keep)
        outcome = media.run(plan, say)
    else:
        outcome = events.run(options.inputs or 20_000, seed)
    print(json.dumps(outcome))
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
