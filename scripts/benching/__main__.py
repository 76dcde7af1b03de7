"""Measures the system, each figure beside a reference from the same run on the same machine.

    scripts/bench video --json
    scripts/bench all --docs docs/performance.md

Each sub-command prints tables, `--json` ends with one line of JSON, `--plot FILE` writes an SVG
picture, `--quick` takes the smallest inputs and few repetitions.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benching import audio, decode, fleet, jobs_page, memory, page, scale, showing, video

#: In the order of the page. Each has `options`, `run`, and, but for the last, `tables` and `bars`.
BENCHES: dict[str, Any] = {
    "decode": decode,
    "audio": audio,
    "video": video,
    "fleet": fleet,
    "memory": memory,
    "scale": scale,
}


def main() -> int:
    """Run one bench, or all."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="bench", required=True)
    for name, bench in {**BENCHES, "jobs-page": jobs_page}.items():
        command = commands.add_parser(name, help=bench.__doc__.splitlines()[0])
        _add_common(command)
        bench.options(command)
    every = commands.add_parser("all", help="Runs each in turn and writes the page.")
    _add_common(every)
    every.add_argument("--docs", type=Path, help="write tables and pictures into this page")
    every.add_argument("--only", nargs="*", choices=list(BENCHES), help="these, not all")
    for bench in BENCHES.values():
        bench.options(every)
    args = parser.parse_args()
    if args.bench == "all":
        return _all(args)
    _one(args.bench, args)
    return 0


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="end with one line of JSON")
    command.add_argument("--quick", action="store_true", help="smallest inputs, fewest rounds")
    command.add_argument("--plot", type=Path, help="write a picture (SVG)")
    command.add_argument(
        "--inputs",
        type=Path,
        default=Path(tempfile.gettempdir()) / "silver-guardian-bench",
        help="where the recordings are made and kept",
    )


def _one(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Run one bench, show it, and return its figures."""
    bench = jobs_page if name == "jobs-page" else BENCHES[name]
    result = {"bench": name, **bench.run(args), "quick": args.quick}
    if name in BENCHES:
        for table in bench.tables(result):
            print(f"{showing.text(table)}\n", flush=True)
        if args.plot:
            args.plot.write_text(showing.svg(bench.bars(result)))
    if args.json or name not in BENCHES:
        print(json.dumps(result), flush=True)
    return result


def _all(args: argparse.Namespace) -> int:
    """Run the benches named, and write what they found into the page."""
    for name in args.only or BENCHES:
        result = _one(name, args)
        if args.docs:
            bench = BENCHES[name]
            page.write(args.docs, name, bench.tables(result), bench.bars(result), args.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
