"""What `scripts/bench` makes of its measurements: targets, bursts, stages, counts."""

import resource

import pytest

from scripts.benchmarks.bench import Spent, by_stage, mean_ms, total
from scripts.benchmarks.scenarios import burst as burst_tables
from scripts.benchmarks.scenarios.burst import Burst, Measured
from scripts.benchmarks.scenarios.latency import STAGES, in_order
from scripts.benchmarks.source import BenchmarkError
from scripts.benchmarks.tables import Figure, Table
from scripts.stack.processes import allow_open_files

METRICS = """\
# HELP imagegw_webhook_deliveries_total Calls of fal's webhooks.
# TYPE imagegw_webhook_deliveries_total counter
imagegw_webhook_deliveries_total{outcome="news"} 7.0
imagegw_webhook_deliveries_total{outcome="known"} 2.0
# HELP imagegw_job_stage_seconds How long a generation spends in each stage.
# TYPE imagegw_job_stage_seconds histogram
imagegw_job_stage_seconds_bucket{le="+Inf",model="flux-pro",stage="queue"} 4.0
imagegw_job_stage_seconds_count{model="flux-pro",stage="queue"} 4.0
imagegw_job_stage_seconds_sum{model="flux-pro",stage="queue"} 0.2
imagegw_job_stage_seconds_bucket{le="+Inf",model="flux-dev",stage="queue"} 1.0
imagegw_job_stage_seconds_count{model="flux-dev",stage="queue"} 1.0
imagegw_job_stage_seconds_sum{model="flux-dev",stage="queue"} 0.8
"""


@pytest.mark.parametrize(("measured", "verdict"), [(249.0, "missed"), (250.0, "met"), (900.0, "met")])
def test_a_rate_has_a_target_that_it_must_reach(measured: float, verdict: str) -> None:
    figure = Figure.of("submits", [measured], "/s", at_least=250)

    assert figure.is_missed is (verdict == "missed")
    assert figure.cells()[-1] == f"≥ 250 /s: {verdict}"


@pytest.mark.parametrize(("target", "text"), [(1 / 3, "≤ 0.333 x: met"), (1.05, "≤ 1.05 x: met"), (1200, "≤ 1,200 x: met")])
def test_a_target_is_shown_as_it_was_set(target: float, text: str) -> None:
    assert Figure.ratio("ours / theirs", [1.0], [10.0], at_most=target).cells()[-1] == text


def _measured(burst: Burst, *, ours_s: float, scripts_s: float | None = None, worker_mb: float = 40.0) -> Measured:
    one = Measured(burst)
    for number in range(3):
        one.ours_s.append(ours_s + number)
        one.cpu_ms.append(20.0)
        one.peak_mb.append({"web": 100.0, "worker": worker_mb + number, "all of ours": 300.0})
        one.add_latencies([burst.seconds + 0.1, burst.seconds + 0.2, burst.seconds + 0.4])
        if scripts_s:
            one.scripts_s.append(scripts_s)
    return one


def _targets(table: Table) -> dict[str, str]:
    return {what: target for what, _, _, target in (figure.cells() for figure in table.figures)}


def test_a_burst_is_judged_by_the_clock_or_by_the_scripts() -> None:
    small = _measured(Burst(50, 2.0, is_scripted=True, at_most_of_scripts=1.25), ours_s=2.5, scripts_s=2.3)
    large = _measured(Burst(2000, 10.0, at_most_s=45.0), ours_s=50.0)

    table = burst_tables.bursts([small, large], scripts=4)

    assert _targets(table) == {
        "50 of 2 s, 4 scripts": "",
        "50 of 2 s, gateway": "",
        "50 of 2 s, gateway / scripts": "≤ 1.25 x: missed",
        "2,000 of 10 s, gateway": "≤ 45 s: missed",
    }
    assert "stands still" in table.text


def test_memory_is_that_of_the_largest_burst_and_the_largest_worker_of_all() -> None:
    small = _measured(Burst(50, 2.0), ours_s=2.5, worker_mb=90.0)
    large = _measured(Burst(2000, 10.0), ours_s=30.0, worker_mb=60.0)

    table = burst_tables.memory({"web": [99.0], "worker": [30.0, 31.0]}, [small, large], 28.0)

    medians = {figure.what: figure.median for figure in table.figures}
    assert (medians["worker, idle"], medians["worker, 2,000 in flight"], medians["the largest worker of all bursts"]) == (30.5, 61.0, 92.0)
    assert medians["all of ours, idle"] == 160.0
    assert "6,150 flux-pro generations" in table.text


def test_latency_and_cpu_are_told_for_every_number_in_flight() -> None:
    measured = [_measured(Burst(count, 1.0), ours_s=2.0) for count in (1, 500, 2000)]

    table = burst_tables.in_flight(measured)

    medians = {figure.what: figure.median for figure in table.figures}
    assert medians["1 in flight, added"] == pytest.approx(200)
    assert medians["500 in flight, added, 95th percentile"] == pytest.approx(200)
    assert medians["2,000 in flight, CPU"] == 20


def test_counts_are_summed_over_the_labels_that_are_not_asked_for() -> None:
    name = "imagegw_webhook_deliveries_total"

    assert (total(METRICS, name), total(METRICS, name, outcome="known"), total(METRICS, name, outcome="refused")) == (9, 2, 0)


def test_a_stage_is_read_over_all_models() -> None:
    assert by_stage(METRICS) == {"queue": Spent(seconds=1.0, count=5)}


def test_the_mean_of_a_stage_is_that_of_the_generations_between_two_readings() -> None:
    before = {"queue": Spent(1.0, 5), "store": Spent(1.0, 5)}
    after = {"queue": Spent(1.5, 10), "store": Spent(1.0, 5), "answer": Spent(0.2, 1)}

    assert mean_ms(before, after) == {"queue": pytest.approx(100), "answer": pytest.approx(200)}


def test_stages_are_shown_in_the_order_they_are_passed_through() -> None:
    backwards = dict.fromkeys(reversed(STAGES), 1.0)

    assert list(in_order({"provider": 1.0, **backwards})) == list(STAGES)


def test_a_stage_that_no_generation_passed_is_no_figure() -> None:
    with pytest.raises(BenchmarkError, match="answer"):
        in_order(dict.fromkeys(list(STAGES)[:-1], 1.0))


def test_more_files_are_allowed_as_far_as_the_system_lets_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

        assert allow_open_files(400) == 400
        assert allow_open_files(300) == 400
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
