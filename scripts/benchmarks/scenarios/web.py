"""What one web process carries: requests a second, many who wait beside many who listen, the web app's people, large batches."""

import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

from scripts.benchmarks.bench import FLUX_PRO, Bench, Spent, by_stage
from scripts.benchmarks.machine import only_web_runs, web_mb
from scripts.benchmarks.source import BenchmarkError, Outcome, Source
from scripts.benchmarks.tables import Figure, Table, p95

CONNECTIONS = 16
HEALTH, MODELS, STATUS, SUBMIT = "GET /healthz", "GET /api/images/models", "GET /api/jobs/{jobId}", "POST /api/images/generate, async"
MIN_PER_S = {MODELS: 1200.0, STATUS: 800.0, SUBMIT: 250.0}
#: So many more start to wait at each step; sockets, and the users who share them: registering costs 20 ms of argon2 each.
STEPS, USERS = 3, 20
ASKED, ARRIVAL_S, ARRIVAL_LIMIT_S, SETTLE_S = 100, 4.0, 60.0, 1.0
MAX_P95_MS, MAX_WAITER_KB = 50.0, 35.0
PAIRS_PER_S = 5.0
MAX_LATE_MS, MAX_SOCKET_KB = 150.0, 60.0
ITEMS = 500


def rates(bench: Bench) -> Sequence[Table]:
    for_s = 0.7 if bench.quick else 2.0
    load = bench.warm_load(FLUX_PRO)
    bench.set_generation_time(1.0)
    asked = _asked(bench, load)
    per_s: dict[str, list[float]] = {name: [] for name in asked}
    busy: list[float] = []
    with only_web_runs(bench.stack):
        for _ in range(bench.rounds):
            for name, (order, status) in asked.items():
                outcome = load.ask(**order, connections=CONNECTIONS, for_s=for_s).require(status)
                per_s[name].append(len(outcome.latencies_s) / outcome.seconds)
                busy.append(100 * outcome.cpu_s / outcome.seconds)
    figures = [Figure.of(name, values, "/s", at_least=MIN_PER_S.get(name)) for name, values in per_s.items()]
    figures += [Figure.ratio(f"{name}, of /healthz", per_s[name], per_s[HEALTH]) for name in MIN_PER_S]
    figures.append(Figure.of("load generator, of one core", busy, "%"))
    text = (
        f"{CONNECTIONS} connections, {for_s:g} s each, taking turns. Workers and watcher stand still meanwhile: on a machine this small "
        "they would be measured too. /healthz touches no store and is the ceiling of the server itself."
    )
    return [Table("Requests per second, one web process", text, figures)]


def _asked(bench: Bench, load: Source) -> dict[str, tuple[dict[str, Any], str]]:
    """Return what is asked and the status it must have; the job that is looked up has ended."""
    jobs = json.loads(load.ask(**bench.look_up("/api/jobs?limit=1"), count=1).require("200").first_body)["jobs"]
    if not jobs:
        raise BenchmarkError("no job is listed")
    return {
        HEALTH: (bench.look_up("/healthz"), "200"),
        MODELS: (bench.look_up("/api/images/models"), "200"),
        STATUS: (bench.look_up(f"/api/jobs/{jobs[0]['jobId']}"), "200"),
        SUBMIT: (bench.generate(FLUX_PRO, asynchronous=True), "202"),
    }


def waiting(bench: Bench) -> Sequence[Table]:
    """Does the web process still answer at once beside those who wait and listen, and what does one who waits cost?"""
    step, listeners, for_s = (70, 100, 1.0) if bench.quick else (500, 1000, 2.5)
    count = STEPS * step
    asker, people, crowds = bench.warm_load(FLUX_PRO), bench.source("listeners.py"), [bench.source("load.py") for _ in range(STEPS)]
    bench.set_generation_time(1.0)
    people.talk(op="register", url=bench.stack.base_url, count=USERS)
    people.talk(op="connect", url=bench.stack.base_url, count=listeners)
    bench.counts()  # Else the end of the warming up is counted among those who wait.
    with only_web_runs(bench.stack):
        waiter_kb = [_come_to_wait(bench, crowd, step) for crowd in crowds]
        health = [asker.ask(**bench.look_up("/healthz"), count=ASKED, over_s=for_s).require("200") for _ in range(bench.rounds)]
    began = time.perf_counter()
    for crowd in crowds:
        Outcome(**crowd.finish()).require("201")
    answered_s = time.perf_counter() - began
    text = (
        f"{count:,} synchronous POSTs of flux-pro wait beside {listeners:,} Socket.IO clients (websocket; {USERS} users) in one web "
        f"process, while /healthz is asked {ASKED} times over {for_s:g} s. Workers and watcher stand still until then; afterwards every "
        f"one is answered with its picture, 1 s each at the emulator. Memory is what the web process grows by with {step} more who come "
        f"within {ARRIVAL_S:g} s and wait, {STEPS} times."
    )
    rounds = [[1000 * latency for latency in outcome.latencies_s] for outcome in health]
    figures = [
        Figure.of("GET /healthz, median", [statistics.median(values) for values in rounds], "ms"),
        Figure.of("GET /healthz, 95th percentile", [p95(values) for values in rounds], "ms", at_most=MAX_P95_MS),
        Figure.of("GET /healthz, slowest", [max(values) for values in rounds], "ms"),
        Figure.of("memory of one who waits", waiter_kb, "kB", at_most=MAX_WAITER_KB),
        Figure.of(f"all {count:,} answered, once workers go on", [answered_s], "s"),
    ]
    return [Table("Waiting", text, figures)]


def _come_to_wait(bench: Bench, crowd: Source, count: int) -> float:
    """Open so many requests that wait; return by how many kB the web process grew for each."""
    before_mb, accepted = web_mb(bench.stack), _accepted(bench)
    crowd.begin(**bench.generate(FLUX_PRO), count=count, over_s=ARRIVAL_S)
    end = time.monotonic() + ARRIVAL_LIMIT_S
    # With no worker running, a request that was accepted waits. (Queues are shorter: a worker may be held with a task in its hand.)
    while (now := _accepted(bench)) < accepted + count:
        if time.monotonic() > end:
            raise BenchmarkError(f"{now - accepted:.0f} of {count} requests wait after {ARRIVAL_LIMIT_S:.0f} s")
        time.sleep(0.2)
    time.sleep(SETTLE_S)
    return 1000 * (web_mb(bench.stack) - before_mb) / count


def _accepted(bench: Bench) -> float:
    return by_stage(bench.counts(after_s=0)).get("accept", Spent()).count


def sockets(bench: Bench) -> Sequence[Table]:
    """People register and submit beside connected sockets: how late are events, and what does a socket cost?"""
    seconds, count = (3.0, 50) if bench.quick else (6.0, 200)
    url, pairs = bench.stack.base_url, int(PAIRS_PER_S * seconds)
    bench.set_generation_time(2.0)
    people = bench.source("listeners.py")
    people.talk(op="register", url=url, count=count)
    before = web_mb(bench.stack)
    people.talk(op="connect", url=url, count=count)
    socket_kb = 1000 * (web_mb(bench.stack) - before) / count
    answers = [people.talk(op="pairs", url=url, per_s=PAIRS_PER_S, for_s=seconds) for _ in range(bench.rounds)]
    for answer in answers:
        if answer["failures"] or answer["ended"] != pairs:
            raise BenchmarkError(f"{answer['ended']} generations ended; failures: {answer['failures']}")
    late_ms = [[1000 * late for late in answer["late_s"]] for answer in answers]
    per_minute = [60 * pairs / max(seconds, answer["seconds"] - 3) for answer in answers]
    figures = [
        Figure.of("event at its socket after the change, median", [statistics.median(late) for late in late_ms], "ms"),
        Figure.of("event at its socket after the change, 95th percentile", [p95(late) for late in late_ms], "ms", at_most=MAX_LATE_MS),
        Figure.of("memory of one idle socket", [socket_kb], "kB", at_most=MAX_SOCKET_KB),
        Figure.of("register and submit, pairs a minute", per_minute),
    ]
    text = (
        f"{count} signed-in users listen on Socket.IO (websocket) while {60 * PAIRS_PER_S:.0f} times a minute somebody new registers "
        "(argon2) and a listener submits a generation of 2 s; every event of every generation is timed."
    )
    return [Table("Sockets", text, figures)]


def batch(bench: Bench) -> Sequence[Table]:
    load = bench.warm_load(FLUX_PRO, count=4)
    bench.set_generation_time(0.5)
    order = bench.post("/api/images/batch", {"items": [FLUX_PRO.order] * ITEMS})
    took = [load.ask(**order, count=1).require("202").latencies_s[0] for _ in range(bench.rounds)]
    text = f"{ITEMS} items in one POST: checked, priced, written and queued before it is answered."
    return [Table("Batch", text, [Figure.of(f"a batch of {ITEMS} accepted", took, "s", at_most=2.0)])]
