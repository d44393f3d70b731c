"""`scripts/bench`: the one place of figures. Each scenario runs on a stack of its own, so that none inherits another's documents."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # Run as a file, Python looks for modules beside it and not in the checkout.
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402

from scripts.benchmarks.machine import facts  # noqa: E402
from scripts.benchmarks.open_files import allow_open_files  # noqa: E402
from scripts.benchmarks.report import show, write  # noqa: E402
from scripts.benchmarks.scenarios import batch, burst, cpu, history, latency, rates, sockets, stages, start, waiting, webhooks  # noqa: E402
from scripts.benchmarks.seeding import database_of_its_own  # noqa: E402
from scripts.benchmarks.source import BenchmarkError  # noqa: E402
from scripts.benchmarks.table import Table  # noqa: E402
from scripts.development.child import StackError  # noqa: E402
from scripts.development.ports import free_port  # noqa: E402
from scripts.development.stack import Stack  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Scenario:
    """What is run, and the settings it needs beside those of all; `{port}` in one is the web process's.

    Or what is run `alone`, which starts for itself what it measures.
    """

    run: Callable[[Stack, bool], Sequence[Table]] | None = None
    alone: Callable[[bool], Sequence[Table]] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


SCENARIOS: Mapping[str, Scenario] = {
    "latency": Scenario(latency.run),
    "webhooks": Scenario(webhooks.run, settings=webhooks.SETTINGS),
    "stages": Scenario(stages.run),
    "burst": Scenario(burst.run),
    "cpu": Scenario(cpu.run),
    "rates": Scenario(rates.run),
    "waiting": Scenario(waiting.run),
    "sockets": Scenario(sockets.run),
    "batch": Scenario(batch.run),
    "history": Scenario(history.run),
    "start": Scenario(alone=start.run),
}
#: A quick run leaves out the table that nothing is judged by, and the one that installs everything several times.
QUICK = tuple(name for name in SCENARIOS if name not in ("stages", "start"))
SETTINGS = {
    "ALLOW_ANONYMOUS": "true",
    "RATE_LIMIT_LOGIN": "off",
    "APP_ENV": "development",
    "WORKERS": "4",
    "SYNC_WAIT_SECONDS": "180",
    "HOST": "127.0.0.1",
}
#: All else that the caller's environment holds could name real stores, or a key that buys pictures.
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and return the exit status: 0, or 1 where a scenario could not be measured. A missed target is no failure."""
    options = _parser().parse_args(arguments)
    options.only = [*options.names, *(options.only or ())]
    names = options.only or (QUICK if options.quick else tuple(SCENARIOS))
    allow_open_files()
    console, started = Console(), time.monotonic()
    tables: list[Table] = []
    embedded: set[str] = set()
    try:
        for name in names:
            console.print(f"[dim]{name} ...")
            began = time.monotonic()
            found, stand_ins = _measured(name, quick=options.quick)
            for table in found:
                show(table, console)
            console.print(f"[dim]{name} took {time.monotonic() - began:.0f} s")
            tables += found
            embedded |= stand_ins
    except (BenchmarkError, StackError) as error:
        print(f"scripts/bench: {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    console.print(f"[dim]{len(names)} scenarios in {time.monotonic() - started:.0f} s")
    target = options.output or (PAGE if tuple(names) == tuple(SCENARIOS) and not options.quick else None)
    if target:
        command = " ".join(["scripts/bench", *options.only, *(["--quick"] if options.quick else [])])
        write(target, tables, command=command, facts=facts(embedded), on=datetime.now(UTC).date())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure the service on this machine; see docs/benchmarks.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", type=_known, help="these scenarios only; writes nothing")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter, under two minutes; writes nothing")
    parser.add_argument("--only", action="append", choices=tuple(SCENARIOS), help="the same, one at a time")
    parser.add_argument("--output", type=Path, help="write the page here, whatever was run")
    return parser


def _known(name: str) -> str:
    if name not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SCENARIOS)}")
    return name


def _measured(name: str, *, quick: bool) -> tuple[Sequence[Table], set[str]]:
    env = {key: os.environ[key] for key in KEPT_VARIABLES if key in os.environ}
    server = os.environ.get("MONGODB_URI") if name == "history" else None
    scenario, port = SCENARIOS[name], free_port()
    if scenario.run is None:
        return (scenario.alone(quick) if scenario.alone else ()), {"mongo"}
    settings = {**SETTINGS, **{key: value.format(port=port) for key, value in scenario.settings.items()}}
    with database_of_its_own(server) as uri, Stack(None, {**env, **uri}, settings, quiet=True, port=port) as stack:
        return scenario.run(stack, quick), set(stack.embedded)


if __name__ == "__main__":
    sys.exit(main())
