"""Many generations asked for at the same moment: how long until the last is done, what memory that takes, what each costs."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scripts.benchmarks.bench import FLUX_PRO, Bench
from scripts.benchmarks.machine import OURS, cpu_ms, memory_mb, peak_of
from scripts.benchmarks.source import Outcome, Source
from scripts.benchmarks.tables import Figure, Table

TOTAL = "all of ours"
MAX_IDLE_MB = {"web": 150.0, "watcher": 150.0, TOTAL: 250.0}
MAX_PEAK_MB = {"watcher": 150.0, "worker": 120.0, TOTAL: 400.0}


@dataclass(frozen=True)
class Burst:
    """So many generations of so many seconds, and how long they may take: in seconds, or as a multiple of the scripts' time."""

    count: int
    seconds: float
    is_scripted: bool = False
    at_most_s: float | None = None
    at_most_of_scripts: float | None = None

    @property
    def name(self) -> str:
        return f"{self.count:,} of {self.seconds:g} s"


@dataclass
class Measured:
    """The rounds of one burst."""

    burst: Burst
    #: Until the last one is answered.
    ours_s: list[float] = field(default_factory=list)
    scripts_s: list[float] = field(default_factory=list)
    #: Each answer's time less the generation, of each round: the median, and the 95th percentile.
    added_ms: list[float] = field(default_factory=list)
    slow_ms: list[float] = field(default_factory=list)
    #: For each generation.
    cpu_ms: list[float] = field(default_factory=list)
    peak_mb: list[Mapping[str, float]] = field(default_factory=list)

    def add_latencies(self, latencies_s: Sequence[float]) -> None:
        extra = sorted(1000 * (latency - self.burst.seconds) for latency in latencies_s)
        self.added_ms.append(statistics.median(extra))
        self.slow_ms.append(extra[int(0.95 * (len(extra) - 1))])


#: As many as there are workers. With more than a hundred threads each they were seen to stand still for two minutes.
SCRIPTS = 4
FULL = (
    Burst(1, 1.0),
    Burst(10, 1.0),
    Burst(50, 2.0, is_scripted=True, at_most_of_scripts=1.25),
    Burst(200, 3.0),
    Burst(500, 10.0, at_most_s=13.0),
    Burst(2000, 10.0, at_most_s=20.0),
)
QUICK = (Burst(50, 1.0, is_scripted=True), Burst(200, 2.0))


def run(bench: Bench) -> Sequence[Table]:
    idle = memory_mb(bench.stack)
    load, scripts = bench.warm_load(FLUX_PRO), [bench.source("direct.py") for _ in range(SCRIPTS)]
    script_mb = scripts[0].ask(**FLUX_PRO.direct, count=1).require("200").pss_mb
    measured = [_measured(bench, load, scripts, burst) for burst in (QUICK if bench.quick else FULL)]
    return [bursts(measured, SCRIPTS), memory(idle, measured, script_mb), in_flight(measured)]


def _measured(bench: Bench, load: Source, scripts: Sequence[Source], burst: Burst) -> Measured:
    measured = Measured(burst)
    bench.set_generation_time(burst.seconds)
    for _ in range(bench.rounds):
        if burst.is_scripted:
            measured.scripts_s.append(_scripted(scripts, burst.count))
        with cpu_ms(bench.stack) as spent, peak_of(lambda: _with_total(memory_mb(bench.stack)), every_s=0.5) as peak_mb:
            outcome = load.ask(**bench.generate(FLUX_PRO), count=burst.count).require("201")
        measured.cpu_ms.append(sum(spent[name] for name in OURS) / burst.count)
        measured.ours_s.append(outcome.seconds)
        measured.add_latencies(outcome.latencies_s)
        measured.peak_mb.append(peak_mb)
    return measured


def _scripted(scripts: Sequence[Source], count: int) -> float:
    """Return the seconds until the slowest script has all of its share."""
    for number, script in enumerate(scripts):
        script.begin(**FLUX_PRO.direct, count=(count + number) // len(scripts))
    return max(Outcome(**script.finish()).require("200").seconds for script in scripts)


def _with_total(memory: Mapping[str, Sequence[float]]) -> Mapping[str, Sequence[float]]:
    return {**memory, TOTAL: [sum(map(sum, memory.values()))]}


def bursts(measured: Sequence[Measured], scripts: int) -> Table:
    figures: list[Figure] = []
    for one in measured:
        burst = one.burst
        if one.scripts_s:
            figures.append(Figure.of(f"{burst.name}, {scripts} scripts", one.scripts_s, "s"))
        figures.append(Figure.of(f"{burst.name}, gateway", one.ours_s, "s", at_most=burst.at_most_s))
        if one.scripts_s:
            figures.append(Figure.ratio(f"{burst.name}, gateway / scripts", one.ours_s, one.scripts_s, at_most=burst.at_most_of_scripts))
    text = (
        "flux-pro generations asked for at once, 4 workers; time until the last waiting request is answered. None failed. The "
        f"{scripts} scripts share the generations, a thread for each, with `fal_client.subscribe` and a download. For the larger bursts "
        "there is no such line: with more than a hundred threads a script stands still for minutes, in fal-client's one connection pool."
    )
    return Table("Bursts", text, figures)


def memory(idle: Mapping[str, Sequence[float]], measured: Sequence[Measured], script_mb: float) -> Table:
    """Return the table of memory: idle, in the largest burst, and the largest worker of all bursts."""
    largest = max(measured, key=lambda one: one.burst.count)
    during = f"{largest.burst.count:,} in flight"
    workers = [peak["worker"] for one in measured for peak in one.peak_mb]
    peaks = {name: [peak[name] for peak in largest.peak_mb] for name in (*idle, TOTAL)}
    figures = [
        *(Figure.of(f"{name}, idle", mb, "MB", at_most=MAX_IDLE_MB.get(name)) for name, mb in _with_total(idle).items()),
        *(Figure.of(f"{name}, {during}", mb, "MB", at_most=MAX_PEAK_MB.get(name)) for name, mb in peaks.items()),
        Figure.of("the largest worker of all bursts", [max(workers)], "MB", at_most=MAX_PEAK_MB["worker"]),
        Figure.of("one script with fal_client", [script_mb], "MB"),
    ]
    made = sum(one.burst.count * len(one.ours_s) for one in measured)
    text = (
        "PSS (shared pages divided among those who share them) right after the start, and the most that was seen during each burst of "
        f"{largest.burst.count:,}, looking twice a second. {made:,} flux-pro generations in all by 4 workers, which are replaced after "
        "1,000 tasks each."
    )
    return Table("Memory", text, figures)


def in_flight(measured: Sequence[Measured]) -> Table:
    """Return latency and CPU against the number in flight."""
    figures: list[Figure] = []
    for one in measured:
        figures += [
            Figure.of(f"{one.burst.count:,} in flight, added", one.added_ms, "ms"),
            Figure.of(f"{one.burst.count:,} in flight, added, 95th percentile", one.slow_ms, "ms"),
            Figure.of(f"{one.burst.count:,} in flight, CPU", one.cpu_ms, "ms"),
        ]
    text = (
        "The same bursts: as many in flight as were asked for at once. Added is the answer time less the generation; CPU is that of "
        "web, workers and watcher for each generation."
    )
    return Table("In flight", text, figures)
