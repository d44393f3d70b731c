"""CPU time of one generation, by process: what a machine can carry."""

import time
from collections.abc import Mapping, Sequence

from scripts.benchmarks.bench import FLUX_DEV_PNG, Bench
from scripts.benchmarks.machine import BACKING, OURS, cpu_ms
from scripts.benchmarks.source import BenchmarkError, Source
from scripts.benchmarks.tables import Figure, Table

SECONDS = 2.0
IDLE_S = 2.0
#: Generations, seconds over which they start, and the plain workers that carry as many at a time.
FULL = (100, 5.0, 44)
QUICK = (30, 2.0, 32)
MAX_MS = 12.0
MAX_OF_PLAIN = 0.2
Readings = list[Mapping[str, float]]


def run(bench: Bench) -> Sequence[Table]:
    count, over_s, workers = QUICK if bench.quick else FULL
    rounds, idle, script_ms, plain_ms = Readings(), Readings(), list[float](), list[float]()
    load, script, plain = bench.warm_load(FLUX_DEV_PNG), bench.source("direct.py"), bench.source("worker_per_generation.py")
    script.ask(**FLUX_DEV_PNG.direct, count=1)
    _plain_ms(plain, count=workers, over_s=0.0, workers=workers)
    bench.set_generation_time(SECONDS)
    for _ in range(bench.rounds):
        with cpu_ms(bench.stack) as spent_idle:
            time.sleep(IDLE_S)
        with cpu_ms(bench.stack) as spent:
            load.ask(**bench.generate(FLUX_DEV_PNG), count=count, over_s=over_s).require("201")
        idle.append({name: ms / IDLE_S for name, ms in spent_idle.items()})
        rounds.append({name: ms / count for name, ms in spent.items()})
        script_ms.append(1000 * script.ask(**FLUX_DEV_PNG.direct, count=4).require("200").cpu_s / 4)
        plain_ms.append(_plain_ms(plain, count=count, over_s=over_s, workers=workers))
    text = (
        f"One 1024 x 1024 PNG stored: flux-dev, {SECONDS:g} s at the emulator, {count} generations started evenly over {over_s:g} s; user "
        "and system time of each process, divided by the generations. Idle is with nothing to do, in milliseconds per second. A worker "
        f"for each generation: {workers} plain `rq.Worker`, everything imported before they fork, with a job that calls "
        "`fal_client.subscribe`, downloads the picture into a folder and inserts one document; what queues the jobs is not counted."
    )
    return [Table("CPU per generation", text, _figures(rounds, idle, script_ms, plain_ms))]


def _plain_ms(plain: Source, *, count: int, over_s: float, workers: int) -> float:
    """Have plain RQ workers make so many, started evenly over that time; return the CPU milliseconds per generation."""
    answer = plain.talk(**FLUX_DEV_PNG.direct, count=count, over_s=over_s, workers=workers)
    if answer["failed"]:
        raise BenchmarkError(f"{answer['failed']} jobs of plain workers failed")
    return float(answer["cpu_ms"]) / count


def _figures(rounds: Readings, idle: Readings, script_ms: list[float], plain_ms: list[float]) -> list[Figure]:
    ours = [sum(reading[name] for name in OURS) for reading in rounds]
    return [
        Figure.of("ours: web, workers, watcher", ours, "ms", at_most=MAX_MS),
        *(Figure.of(f"of these {name}", [reading[name] for reading in rounds], "ms") for name in OURS),
        *(Figure.of(f"beside them {name}", [reading[name] for reading in rounds], "ms") for name in BACKING),
        Figure.of("a worker for each generation", plain_ms, "ms"),
        Figure.ratio("ours / a worker for each generation", ours, plain_ms, at_most=MAX_OF_PLAIN),
        Figure.of("script with fal_client", script_ms, "ms"),
        *(Figure.of(f"idle {name}", [reading[name] for reading in idle], "ms/s") for name in OURS),
    ]
