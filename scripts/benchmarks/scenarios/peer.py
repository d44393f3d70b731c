"""The gateway beside the lightest peer, on one emulator in one run, by turns: what a generation costs and how long it takes."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.benchmarks.bench import FLUX_PRO, Bench
from scripts.benchmarks.litellm import VERSION, LiteLLM
from scripts.benchmarks.machine import OURS, cpu_ms
from scripts.benchmarks.source import Outcome, Source
from scripts.benchmarks.tables import Figure, Table


@dataclass(frozen=True)
class Way:
    """So many at a time, each of so many seconds at the emulator, for so long; and what is to be reached, as multiples of the peer's."""

    connections: int
    seconds: float
    for_s: float
    cpu_at_most: float | None = None
    rate_at_least: float | None = None
    added_at_most: float | None = None

    @property
    def name(self) -> str:
        return f"{self.connections} at a time of {self.seconds:g} s"


FULL = (Way(16, 0.0, 6.0, 0.75, 1.5), Way(50, 2.0, 10.0, 1.0), Way(1, 2.0, 6.0, added_at_most=1.5))
QUICK = (Way(16, 0.0, 3.0, 0.75, 1.5), Way(50, 1.0, 3.0, 1.0), Way(1, 1.0, 2.0, added_at_most=1.5))
Measured = dict[str, list[float]]


def run(bench: Bench) -> Sequence[Table]:
    load = bench.warm_load(FLUX_PRO)
    with LiteLLM(bench) as peer:
        load.ask(**peer.generate, count=20).require("200")
        return [_table(way, *_measured(bench, load, peer, way)) for way in (QUICK if bench.quick else FULL)]


def _measured(bench: Bench, load: Source, peer: LiteLLM, way: Way) -> tuple[Measured, Measured]:
    bench.set_generation_time(way.seconds)
    ours, theirs = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for _ in range(bench.rounds):
        with cpu_ms(bench.stack) as spent:
            outcome = load.ask(**bench.generate(FLUX_PRO), connections=way.connections, for_s=way.for_s).require("201")
        _add(ours, outcome, way, sum(spent[name] for name in OURS))
        for name in OURS:
            ours[name].append(spent[name] / len(outcome.latencies_s))
        with peer.cpu_ms() as used:
            outcome = load.ask(**peer.generate, connections=way.connections, for_s=way.for_s).require("200")
        _add(theirs, outcome, way, used[0])
    return ours, theirs


def _add(measured: Measured, outcome: Outcome, way: Way, spent_ms: float) -> None:
    count = len(outcome.latencies_s)
    measured["cpu"].append(spent_ms / count)
    measured["rate"].append(count / outcome.seconds)
    measured["added"].append(1000 * (statistics.median(outcome.latencies_s) - way.seconds))


def _table(way: Way, ours: Measured, theirs: Measured) -> Table:
    figures = []
    for key, what, unit in (("cpu", "CPU a generation", "ms"), ("rate", "generations a second", "/s"), ("added", "added, median", "ms")):
        figures += [Figure.of(f"{what}, ours", ours[key], unit), Figure.of(f"{what}, LiteLLM", theirs[key], unit)]
    figures += [Figure.of(f"of our CPU {name}", ours[name], "ms") for name in OURS]
    figures += [
        Figure.ratio("CPU, ours / LiteLLM", ours["cpu"], theirs["cpu"], at_most=way.cpu_at_most),
        Figure.ratio("rate, ours / LiteLLM", ours["rate"], theirs["rate"], at_least=way.rate_at_least),
        Figure.ratio("added, ours / LiteLLM", ours["added"], theirs["added"], at_most=way.added_at_most),
    ]
    text = (
        f"flux-pro, 1024 x 1024, {way.connections} connections for {way.for_s:g} s, by turns. LiteLLM's proxy {VERSION}, one worker, no "
        "database, calls fal and passes its answer on. Ours queues, downloads, stores, prices and remembers each picture; its CPU is that "
        "of web, workers and watcher together. The emulator, the stores and the load use the same cores."
    )
    return Table(f"Beside LiteLLM's proxy, {way.name}", text, figures)
