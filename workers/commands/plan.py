"""The command `guardian plan`: pods, waiting time and cost of a load, and the values for it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shared.records import MODALITIES, Modality
from workers.commands.basics import emit
from workers.commands.options import Finite, NewFile, json_option, write

if TYPE_CHECKING:
    from workers.plan_search import Rate

#: Jobs that a plan simulates where --hours is not given.
_JOBS = 50_000
_NOT_MEASURED = "default, not measured: give --bench or --audio-speed and --video-speed"
_DEFAULT_SPEED: dict[Modality, float] = {"audio": 60.0, "video": 8.0}
_DEFAULT_OVERHEAD_S = 2.0
_SPEED = Finite(0, min_open=True)
_BARS = " ▁▂▃▄▅▆▇█"


@click.command("plan")
@click.option("--uploads-per-hour", required=True, type=Finite(0, 1e7, min_open=True))
@click.option("--minutes", required=True, type=Finite(0, 1e4, min_open=True), help="Mean length.")
@click.option("--burst", default=0, type=click.IntRange(0), help="Uploads at once, besides.")
@click.option("--swing", default=0.0, type=Finite(0, 1), help="Day curve: 0.8 peaks at 1.8 × mean.")
@click.option("--hours", type=Finite(0, 168, min_open=True), help="Time to simulate.")
@click.option(
    "--target-wait",
    default=300.0,
    type=Finite(0),
    show_default=True,
    help="p95 of the wait, seconds.",
)
@click.option("--audio-speed", type=_SPEED, help="Seconds of media a second, one audio pod.")
@click.option("--video-speed", type=_SPEED, help="Seconds of media a second, one video pod.")
@click.option(
    "--overhead",
    default=_DEFAULT_OVERHEAD_S,
    type=Finite(0),
    show_default=True,
    help="Seconds a job.",
)
@click.option(
    "--bench",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Output of scripts/bench audio|video --json; give it once for each.",
)
@click.option(
    "--price", default=0.65, type=Finite(0), show_default=True, help="Dollars a node and hour."
)
@click.option(
    "--node-start", default=150.0, type=Finite(0), show_default=True, help="Seconds to a new node."
)
@click.option(
    "--pod-start", default=45.0, type=Finite(0), show_default=True, help="Seconds to a ready pod."
)
@click.option(
    "--spot", default=0.0, type=Finite(0), help="Spot interruptions a node and hour, such as 0.05."
)
@click.option("--seed", default=0, show_default=True, help="Another draw of the same load.")
@click.option("--values", "values_path", type=NewFile(), help="Write for helm -f.")
@click.option("--plot", type=NewFile(), help="Write an SVG picture.")
@json_option
def plan_command(
    uploads_per_hour: float,
    minutes: float,
    burst: int,
    swing: float,
    hours: float | None,
    target_wait: float,
    audio_speed: float | None,
    video_speed: float | None,
    overhead: float,
    bench: tuple[Path, ...],
    price: float,
    node_start: float,
    pod_start: float,
    spot: float,
    seed: int,
    values_path: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Simulate a load: pods over time, waiting time, cost, and the chart's values for it."""
    import yaml  # this and what follows are slow to import

    from workers.plan import Cluster
    from workers.plan_plot import svg
    from workers.plan_search import Load, make_plan

    hours = hours or min(24.0, max(1.0, _JOBS / uploads_per_hour))
    load = Load(uploads_per_hour, minutes, hours, burst, swing)
    rates = _rates({"audio": audio_speed, "video": video_speed}, overhead, bench)
    cluster = Cluster(pod_start_s=pod_start, node_start_s=node_start, interruptions_per_hour=spot)
    plan = make_plan(load, rates, cluster, target_wait, price, seed=seed)
    document = plan.document()
    values = "# Made by guardian plan.\n" + yaml.safe_dump(plan.values(), sort_keys=False)
    if values_path:
        write(values_path, values)
    if plot:
        write(plot, svg(document))
    emit(document) if as_json else click.echo(_text(document, values))


def _rates(
    given: dict[Modality, float | None], overhead_s: float, bench: tuple[Path, ...]
) -> dict[Modality, Rate]:
    """Take each speed from its flag, else from the bench, else from the default, and say which."""
    from workers.plan_search import Rate  # slow to import

    measured: dict[str, tuple[float, str]] = {}
    for path in bench:
        try:
            document = dict(json.loads(path.read_text(encoding="utf-8").strip().splitlines()[-1]))
        except (ValueError, TypeError, IndexError) as error:
            raise click.BadParameter(
                f"{path} is no output of scripts/bench.", param_hint="--bench"
            ) from error
        name = str(document.get("bench", path.stem))
        factor = document.get("realtime_factor")
        if not isinstance(factor, int | float) or not 0 < factor < math.inf:
            raise click.BadParameter(f"{path} has no realtime_factor.", param_hint="--bench")
        measured[name] = (float(factor), f"{path.name}")
    rates: dict[Modality, Rate] = {}
    for name in MODALITIES:
        speed = given[name]
        if speed is not None:
            rates[name] = Rate(speed, overhead_s, f"--{name}-speed")
        elif found := next((row for key, row in measured.items() if name in key), None):
            rates[name] = Rate(found[0], overhead_s, found[1])
        else:
            rates[name] = Rate(_DEFAULT_SPEED[name], overhead_s, _NOT_MEASURED)
    return rates


def _text(document: dict[str, Any], values: str) -> str:
    """Return the plan as lines for a person."""
    load = document["load"]
    lines = [
        f"{load['uploads']} uploads in {load['hours']:g} h, {load['minutes']:g} minutes each",
        "",
        f"{'':8}{'pods':>12}{'wait p50':>10}{'p95':>8}{'p99':>8}{'node h':>9}{'busy':>7}{'$':>9}",
    ]
    for name, row in document["workers"].items():
        wait = row["wait_s"]
        lines.append(
            f"{name:8}{row['values']['min']:>4} to {row['pods_most']:<4}"
            f"{wait['p50']:>9.0f}s{wait['p95']:>7.0f}s{wait['p99']:>7.0f}s"
            f"{row['node_hours']:>9.1f}{100 * row['utilisation']:>6.0f}%{row['cost']:>9.2f}"
        )
    for name, row in document["workers"].items():
        lines += ["", f"{name} pods    {_spark(row['pods_over_time'])}  most {row['pods_most']}"]
        most = max(value for _, value in row["queued_over_time"])
        lines.append(f"{name} waiting {_spark(row['queued_over_time'])}  most {most}")
    done = document["both_halves_done_s"]
    times = ", ".join(f"{done[name]:.0f} s ({name})" for name in ("p50", "p95", "p99"))
    lines += ["", f"both halves done after {times}"]
    lines.append(
        f"{document['node_hours']:.1f} node hours, ${document['cost']:.2f}, "
        f"${document['cost_per_1000_videos']:.2f} a thousand videos, "
        f"{document['jobs_interrupted']} jobs interrupted"
    )
    for name, rate in document["rates"].items():
        lines.append(f"{name}: {rate['realtime_factor']:g} × real time ({rate['source']})")
    if not document["meets_target"]:
        lines.append(
            f"A p95 wait of {document['target_wait_s']:g} s was NOT met by any values tried."
        )
    return "\n".join([*lines, "", values.rstrip()])


def _spark(series: list[list[float]], width: int = 40) -> str:
    """Draw a series in one line of text."""
    step = max(1, len(series) / width)
    starts = [int(index * step) for index in range(min(width, len(series)))]
    most = max(value for _, value in series) or 1
    heights = [max(row[1] for row in series[at : max(at + 1, int(at + step))]) for at in starts]
    return "".join(_BARS[round(value / most * (len(_BARS) - 1))] for value in heights)
