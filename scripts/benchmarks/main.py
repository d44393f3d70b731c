"""`scripts/bench`: the one place of figures. Each scenario runs on a stack of its own, so that none inherits another's documents."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.machine import facts
from scripts.benchmarks.scenarios import burst, cpu, deliveries, facades, gallery, history, latency, operator, peer, polls, start, web
from scripts.benchmarks.source import BenchmarkError
from scripts.benchmarks.tables import Table, show, write
from scripts.stack.processes import StackError, allow_open_files

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
SCENARIOS: Mapping[str, Callable[[Bench], Sequence[Table]]] = {
    "latency": latency.without_webhooks,
    "webhooks": latency.with_webhooks,
    "stages": latency.stages,
    "burst": burst.run,
    "cpu": cpu.run,
    "rates": web.rates,
    "waiting": web.waiting,
    "sockets": web.sockets,
    "facades": facades.run,
    "batch": web.batch,
    "polls": polls.run,
    "deliveries": deliveries.run,
    "peer": peer.run,
    "history": history.run,
    "operator": operator.run,
    "gallery": gallery.run,
    "start": start.run,
}
#: A quick run leaves out the table that nothing is judged by, those that install something, and the one that has much to write first.
QUICK = tuple(name for name in SCENARIOS if name not in ("stages", "peer", "operator", "start"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and return the exit status: 0, or 1 where a scenario could not be measured. A missed target is no failure."""
    options = _parser().parse_args(arguments)
    names = options.names or (QUICK if options.quick else tuple(SCENARIOS))
    allow_open_files()
    console, started = Console(), time.monotonic()
    tables: list[Table] = []
    try:
        for name in names:
            console.print(f"[dim]{name} ...")
            began = time.monotonic()
            with Bench(quick=options.quick) as bench:
                found = SCENARIOS[name](bench)
            for table in found:
                show(table, console)
            console.print(f"[dim]{name} took {time.monotonic() - began:.0f} s")
            tables += found
    except (BenchmarkError, StackError) as error:
        print(f"scripts/bench: {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    console.print(f"[dim]{len(names)} scenarios in {time.monotonic() - started:.0f} s")
    target = options.output or (PAGE if tuple(names) == tuple(SCENARIOS) and not options.quick else None)
    if target:
        command = " ".join(["scripts/bench", *options.names, *(["--quick"] if options.quick else [])])
        write(target, tables, command=command, facts=facts(), on=datetime.now(UTC).date())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure the service on this machine; see docs/benchmarks.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", type=_known, help="these scenarios only; writes nothing")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter, under two minutes; writes nothing")
    parser.add_argument("--output", type=Path, help="write the page here, whatever was run")
    return parser


def _known(name: str) -> str:
    if name not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SCENARIOS)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
