"""What one generation takes: beside a script that asks fal itself, with webhooks and without, and where the time goes."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from scripts.benchmarks.bench import FLUX_PRO, STAGE_SECONDS, Bench, by_stage, mean_ms, total
from scripts.benchmarks.source import BenchmarkError
from scripts.benchmarks.tables import Figure, Table

SECONDS = 2.0
DELIVERIES, JOBS = "imagegw_webhook_deliveries_total", "imagegw_jobs_total"
#: Generations of a round, one after the other, and those started evenly, with the seconds over which they start.
ALONE, QUICK_ALONE = 3, 1
TOGETHER, QUICK_TOGETHER = (100, 4.0), (25, 1.0)
STAGES = {
    "accept": "request received → its job is written and queued",
    "queue": "job made → a worker claims it",
    "submit": "claimed → fal's receipt is written",
    "fal": "receipt → fal was last seen at work on it",
    "notice": "last seen at work → we know that it has ended",
    "collect": "known → a worker has fetched the result and downloaded the picture",
    "store": "downloaded → the picture is stored and the job written as done",
    "answer": "done → the waiting request is answered",
}
Means = Mapping[str, float]


def without_webhooks(bench: Bench) -> Sequence[Table]:
    figures = _compared(bench, 2 if bench.quick else 7, at_most=1.05)
    text = (
        f"flux-pro, 1024 x 1024, {SECONDS:g} s at the emulator. The script calls `fal_client.subscribe` and downloads the picture; the "
        "gateway answers when the picture is in its storage and the job is written."
    )
    return [Table("Latency, one at a time", text, figures)]


def with_webhooks(bench: Bench) -> Sequence[Table]:
    # The emulator delivers webhooks as fal does where it is told at which address the gateway can be reached.
    bench.settings["PUBLIC_URL"] = f"http://127.0.0.1:{bench.port}"
    figures = _compared(bench, 1 if bench.quick else 5, at_most=1.02)
    text = (
        f"The same, {SECONDS:g} s at the emulator, with `PUBLIC_URL` set: signed webhooks are delivered to the gateway, one for every "
        "generation. The script still asks every 0.1 s, as `fal_client.subscribe` does. News are the webhooks that told what no poll had "
        "told before."
    )
    return [Table("Latency, one at a time, with webhooks", text, [*figures, _faster_than_polls(bench.counts())])]


def _compared(bench: Bench, pairs: int, *, at_most: float) -> list[Figure]:
    """Return the time of a script, of the gateway, and the ratio, measured in turn so many times."""
    ours, theirs = list[float](), list[float]()
    load, script = bench.warm_load(FLUX_PRO), bench.source("direct.py")
    script.ask(**FLUX_PRO.direct, count=1)
    bench.set_generation_time(SECONDS)
    for _ in range(pairs):
        theirs += script.ask(**FLUX_PRO.direct, count=1).require("200").latencies_s
        ours += load.ask(**bench.generate(FLUX_PRO), count=1).require("201").latencies_s
    return [
        Figure.of("script with fal_client", theirs, "s"),
        Figure.of("POST /api/images/generate", ours, "s"),
        Figure.ratio("gateway / script", ours, theirs, at_most=at_most),
    ]


def _faster_than_polls(counts: str) -> Figure:
    """Return the share of webhooks that were. Raises BenchmarkError unless one arrived for every generation."""
    jobs = total(counts, JOBS)
    news, known, refused = (total(counts, DELIVERIES, outcome=outcome) for outcome in ("news", "known", "refused"))
    if not jobs or news + known < jobs or refused:
        raise BenchmarkError(f"{jobs:.0f} jobs, but webhooks: {news:.0f} with news, {known:.0f} with none, {refused:.0f} refused")
    return Figure.of("webhooks with news", [100 * news / (news + known)], "%")


def stages(bench: Bench) -> Sequence[Table]:
    alone = QUICK_ALONE if bench.quick else ALONE
    together, over_s = QUICK_TOGETHER if bench.quick else TOGETHER
    load = bench.warm_load(FLUX_PRO)
    bench.set_generation_time(SECONDS)
    bench.counts()  # Else the end of the warming up is counted in the first round.

    def asked(count: int, over_s: float) -> list[float]:
        return load.ask(**bench.generate(FLUX_PRO), count=count, over_s=over_s).require("201").latencies_s

    one_by_one = [_means(bench, lambda: [asked(1, 0.0)[0] for _ in range(alone)]) for _ in range(bench.rounds)]
    evenly = [_means(bench, lambda: asked(together, over_s)) for _ in range(bench.rounds)]
    return [
        _stages_table(f"{alone} one at a time", one_by_one),
        _stages_table(f"{together} started evenly over {over_s:g} s", evenly),
    ]


def _means(bench: Bench, generate: Callable[[], list[float]]) -> Means:
    """Return the mean milliseconds of each stage, their sum, and what the client's own clock says."""
    before = by_stage(bench.counts(after_s=0))
    latencies_s = generate()
    means = in_order(mean_ms(before, by_stage(bench.counts())))
    return {**means, "total": sum(means.values()), "client": 1000 * statistics.mean(latencies_s)}


def in_order(means: Means) -> Means:
    """Return the stages in the order they are passed through. Raises BenchmarkError where one was not."""
    if missing := [stage for stage in STAGES if stage not in means]:
        raise BenchmarkError(f"no generation was seen in the stages {', '.join(missing)}")
    return {stage: means[stage] for stage in STAGES}


def _stages_table(how: str, rounds: Sequence[Means]) -> Table:
    names = {**{stage: f"{stage}: {text}" for stage, text in STAGES.items()}, "total": "total", "client": "by the client's clock"}
    text = (
        f"flux-pro, {SECONDS:g} s at the emulator, without webhooks; the mean of each stage in a round, from `{STAGE_SECONDS}` of "
        "`GET /metrics`."
    )
    return Table(f"Stages, {how}", text, [Figure.of(name, [means[key] for means in rounds], "ms") for key, name in names.items()])
