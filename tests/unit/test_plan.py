"""The simulation behind `guardian plan` agrees with queueing theory and the autoscaler's rules."""

import json
import math
import time

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from workers.commands.plan import plan_command
from workers.plan import Cluster, Scaling, simulate
from workers.plan_load import arrivals, media_seconds
from workers.plan_plot import svg
from workers.plan_search import Load, Rate, make_plan

AT_ONCE = Cluster(pod_start_s=0, node_start_s=0)
RATES = {"audio": Rate(60, 2, "test"), "video": Rate(8, 2, "test")}


def erlang_c(servers, arrival_rate, service_rate):
    """Probability of a wait, and the mean wait, of M/M/c in closed form."""
    offered = arrival_rate / service_rate
    top = offered**servers / math.factorial(servers) / (1 - offered / servers)
    probability = top / (sum(offered**k / math.factorial(k) for k in range(servers)) + top)
    return probability, probability / (servers * service_rate - arrival_rate)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (5, 0.8), (10, 0.7)])
def test_waits_are_those_of_the_closed_form(servers, load):
    random = np.random.default_rng(3)
    count, service_rate = 100_000, 0.1
    arrival_rate = load * servers * service_rate
    times = np.cumsum(random.exponential(1 / arrival_rate, count))
    services = random.exponential(1 / service_rate, count)
    fixed = Scaling(min_pods=servers, max_pods=servers, polling_s=15)

    result = simulate(times, services, fixed, AT_ONCE)

    probability, wait_s = erlang_c(servers, arrival_rate, service_rate)
    assert (result.waits_s > 0).mean() == pytest.approx(probability, rel=0.08)
    assert result.waits_s.mean() == pytest.approx(wait_s, rel=0.1)
    assert result.busy_s / times[-1] / servers == pytest.approx(load, rel=0.02)


def test_every_job_is_done_once_in_order_and_none_before_it_came():
    times, services = arrivals(2000, 1, seed=5), np.full(3000, 20.0)
    result = simulate(times, services[: len(times)], Scaling(), Cluster())

    assert (result.waits_s >= 0).all()
    assert (np.diff(result.started_s) >= 0).all()
    assert result.finished_s - result.started_s == pytest.approx(20)


def test_the_first_job_waits_for_the_look_the_node_and_the_pod():
    result = simulate(np.array([20.0]), np.array([5.0]), Scaling(polling_s=15), Cluster())

    assert result.started_s[0] == 30 + 150 + 45


def test_the_count_of_pods_is_messages_by_queue_length():
    messages = simulate(np.zeros(40), np.full(40, 1e4), Scaling(messages_per_slot=4), AT_ONCE)

    assert max(messages.pods) == 10


def test_pods_are_added_at_the_rate_of_the_policies():
    allowed = Scaling(messages_per_slot=1, max_pods=100)
    result = simulate(np.zeros(100), np.full(100, 1e4), allowed, AT_ONCE, until_s=300)
    counts = dict(zip(result.ticks_s, result.pods, strict=True))

    assert counts[0.0] == 5  # the first pod, and four more
    assert max(counts.values()) == 100
    for at in np.arange(15, 150, 15):
        assert counts[at + 30] <= max(2 * counts[at], counts[at] + 4)


def test_pods_leave_slowly_and_only_after_the_window():
    scaling = Scaling(messages_per_slot=1, min_pods=1, max_pods=10)
    services = np.array([120.0] * 9 + [1e4])
    result = simulate(np.zeros(10), services, scaling, AT_ONCE, until_s=2000)
    counts = dict(zip(result.ticks_s, result.pods, strict=True))

    assert counts[405.0] == 10  # the last look at ten messages was after 105 s
    assert min(counts[float(at)] for at in range(405, 465, 15)) >= 9
    assert counts[1200.0] <= 2  # one, and perhaps the busy one that finishes its job


def test_zero_comes_after_the_cooldown_and_not_with_a_minimum():
    for minimum, left in ((0, 0), (2, 2)):
        scaling = Scaling(min_pods=minimum, cooldown_s=120)
        result = simulate(np.zeros(1), np.array([10.0]), scaling, AT_ONCE, until_s=600)
        assert result.pods[-1] == left


def test_interrupted_jobs_start_again_and_are_done():
    times, services = arrivals(200, 2, seed=1), np.full(1000, 600.0)
    spot = Cluster(interruptions_per_hour=1.0)
    result = simulate(times, services[: len(times)], Scaling(max_pods=60), spot)

    assert result.interrupted > 10
    assert np.isfinite(result.finished_s).all()
    short = simulate(times, np.full(len(times), 60.0), Scaling(max_pods=60), spot)
    assert short.interrupted == 0  # they end within the notice


def test_work_is_conserved():
    times, services = arrivals(500, 1, seed=2), np.full(800, 30.0)
    result = simulate(times, services[: len(times)], Scaling(), Cluster())

    assert result.busy_s == pytest.approx(30 * len(times))
    assert result.busy_s <= result.node_s


def test_load_has_its_rate_its_peak_and_its_lengths():
    day = arrivals(1000, 24, swing=0.8, seed=4)
    by_hour = np.histogram(day, bins=24, range=(0, 86_400))[0]

    assert len(day) == pytest.approx(24_000, rel=0.03)
    assert by_hour.max() == pytest.approx(1800, rel=0.1)
    assert (np.diff(arrivals(10, 1, burst=50)) == 0).sum() == 49
    lengths = media_seconds(50_000, 1.5)
    assert lengths.mean() == pytest.approx(90, rel=0.02)
    assert lengths.std() / lengths.mean() == pytest.approx(0.6, rel=0.05)


def test_the_search_meets_the_target_and_costs_less_than_a_pod_a_message():
    load = Load(2000, 1.5, 2)
    plan = make_plan(load, RATES, Cluster(), 120, 0.65).document()
    eager = dict.fromkeys(("audio", "video"), Scaling(messages_per_slot=1, max_pods=200))
    dear = make_plan(load, RATES, Cluster(), 120, 0.65, fixed=eager).document()

    assert plan["meets_target"]
    for row in plan["workers"].values():
        assert row["wait_s"]["p95"] <= 120
    assert plan["cost"] < dear["cost"]


def test_an_impossible_target_is_said_to_be_missed():
    plan = make_plan(Load(50, 1.5, 1, burst=500), RATES, Cluster(), 1.0, 0.65).document()

    assert not plan["meets_target"]


def test_the_command_writes_values_that_the_chart_takes_and_a_picture(tmp_path):
    values, plot = tmp_path / "values.yaml", tmp_path / "plan.svg"
    words = ["--uploads-per-hour=500", "--minutes=1.5", "--hours=1", "--json"]
    done = CliRunner().invoke(plan_command, [*words, "--values", str(values), "--plot", str(plot)])
    document = json.loads(done.stdout)

    scalers = yaml.safe_load(values.read_text())["keda"]["scalers"]
    assert {name: row["values"] for name, row in document["workers"].items()} == scalers
    assert set(scalers["audio"]) == {"messagesPerSlot", "min", "max", "cooldown"}
    assert plot.read_text() == svg(document)
    assert "not measured" in document["rates"]["video"]["source"]


def test_measured_speeds_come_from_the_bench(tmp_path):
    bench = tmp_path / "video.json"
    bench.write_text('progress\n{"bench": "video", "realtime_factor": 11.5}\n')
    words = ["--uploads-per-hour=50", "--minutes=1", "--hours=1", "--json", "--audio-speed=70"]
    document = json.loads(CliRunner().invoke(plan_command, [*words, "--bench", str(bench)]).stdout)

    assert document["rates"]["video"]["realtime_factor"] == 11.5
    assert document["rates"]["video"]["source"] == "video.json"
    assert document["rates"]["audio"]["source"] == "--audio-speed"


@pytest.mark.parametrize(
    "word",
    [
        *("--uploads-per-hour=inf", "--uploads-per-hour=1e9", "--minutes=nan", "--price=nan"),
        *("--spot=-1", "--audio-speed=inf", "--bench=EMPTY", "--bench=TEXT"),
    ],
)
def test_what_no_plan_can_be_made_of_is_a_usage_error(tmp_path, word):
    for name, text in (("EMPTY", ""), ("TEXT", "no output")):
        (tmp_path / name).write_text(text)
        word = word.replace(name, str(tmp_path / name))
    given = ["--uploads-per-hour=50", "--minutes=1", word]

    assert CliRunner().invoke(plan_command, given).exit_code == 2


def test_text_says_what_json_says_and_where_the_speeds_are_from():
    words = ["--uploads-per-hour=50", "--minutes=1", "--burst=500", "--target-wait=1", "--hours=4"]
    done = CliRunner().invoke(plan_command, words)

    assert done.exit_code == 0
    assert "a thousand videos" in done.stdout
    assert "not measured" in done.stdout
    assert "NOT met" in done.stdout


def test_a_hundred_thousand_uploads_an_hour_do_not_take_minutes():
    started = time.process_time()
    make_plan(Load(100_000, 1.5, 1), RATES, Cluster(), 300, 0.65)

    assert time.process_time() - started < 60  # slow machines and coverage included; not minutes
