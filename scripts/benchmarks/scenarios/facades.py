"""The ways in of other services' clients beside our own: what each adds to an order's time, and to the work of the web process."""

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.benchmarks.bench import FLUX_PRO, INPUTS, Bench
from scripts.benchmarks.machine import cpu_ms
from scripts.benchmarks.source import BenchmarkError, Outcome, Source
from scripts.benchmarks.tables import Figure, Table

#: At the emulator: one at a time, and together. The first are spread over one pause of the queue's client: if all were equally long,
#: what the queue adds would only say where their end falls between two of its questions.
ALONE_S, TOGETHER_S = 0.3, 1.0
#: Orders one at a time by each way, taking turns; and those of a round started evenly, with the seconds over which they start.
ALONE, QUICK_ALONE = 50, 5
TOGETHER, QUICK_TOGETHER = (40, 4.0), (10, 1.0)
MAX_ADDED_MS, MAX_CPU = 5.0, 1.15
#: How often fal's own Python client asks.
POLL_S = 0.1
MCP_HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
OURS = "POST /api/images/generate"
Order = dict[str, Any]


def run(bench: Bench) -> Sequence[Table]:
    # The end of a generation is then known at once, however the watcher's polls fall.
    bench.settings["PUBLIC_URL"] = f"http://127.0.0.1:{bench.port}"
    load = bench.warm_load(FLUX_PRO)
    ways = _ways(bench)
    for order in ways.values():
        _asked(load, order, count=5)
    return [_latency(bench, load, ways), _cpu(bench, load, ways)]


def _ways(bench: Bench) -> Mapping[str, Order]:
    arguments = {**INPUTS, **FLUX_PRO.options}
    options = {"seed": INPUTS["seed"], **FLUX_PRO.options}
    pictures = {"model": FLUX_PRO.model, **INPUTS, "size": "1024x1024"}
    tool = {
        "name": "generate_image",
        "arguments": {"model": FLUX_PRO.model, "prompt": INPUTS["prompt"], "options": options},
    }
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": tool}

    def post(path: str, body: Order, **more: Any) -> Order:
        return {"method": "POST", "url": bench.stack.base_url + path, "body": body, **more}

    return {
        OURS: {**bench.generate(FLUX_PRO), "status": "201"},
        "OpenAI generations, url": post("/v1/images/generations", {**pictures, "response_format": "url"}),
        "OpenAI generations, b64_json": post("/v1/images/generations", {**pictures, "response_format": "b64_json"}),
        "fal run": post(f"/fal/{FLUX_PRO.endpoint}", arguments),
        "fal queue": post(f"/fal/queue/{FLUX_PRO.endpoint}", arguments, poll_s=POLL_S),
        "MCP generate_image": post("/mcp", call, headers=MCP_HEADERS),
    }


def _asked(load: Source, order: Order, **how: Any) -> Outcome:
    outcome = load.ask(**{name: value for name, value in order.items() if name != "status"}, **how).require(order.get("status", "200"))
    if '"isError":true' in outcome.first_body.replace(" ", ""):  # Of a tool, which fails with 200.
        raise BenchmarkError(outcome.first_body[:300])
    return outcome


def _latency(bench: Bench, load: Source, ways: Mapping[str, Order]) -> Table:
    rounds, taken = QUICK_ALONE if bench.quick else ALONE, list[dict[str, float]]()
    for number in range(rounds):
        bench.set_generation_time(ALONE_S + POLL_S * number / rounds)
        taken.append({way: 1000 * _asked(load, order, count=1).latencies_s[0] for way, order in ways.items()})
    figures = [Figure.of(way, [ms[way] for ms in taken], "ms") for way in ways]
    others = [way for way in ways if way != OURS]
    figures += [Figure.of(f"{way}, added", [ms[way] - ms[OURS] for ms in taken], "ms", at_most=MAX_ADDED_MS) for way in others]
    text = (
        f"flux-pro, 1024 x 1024, {ALONE_S:g} to {ALONE_S + POLL_S:g} s at the emulator, webhooks; each way in turn, one order at a time, "
        f"{rounds} turns. Added is to {OURS} of the same turn; the median tells, single turns hold whatever else the machine did. What "
        f"the queue adds is limited by its client's own pause: it asks every {POLL_S:g} s, here as at fal. MCP's answer holds a preview, "
        "which is made when the picture is there."
    )
    return Table("Ways in, one at a time", text, figures)


def _cpu(bench: Bench, load: Source, ways: Mapping[str, Order]) -> Table:
    count, over_s = QUICK_TOGETHER if bench.quick else TOGETHER
    bench.set_generation_time(TOGETHER_S)
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(bench.rounds):
        for way, order in ways.items():
            with cpu_ms(bench.stack) as ms:
                _asked(load, order, count=count, over_s=over_s)
            spent[way].append(ms["web"] / count)
    figures = [Figure.of(way, values, "ms") for way, values in spent.items()]
    figures += [Figure.ratio(f"{way} / {OURS}", values, spent[OURS], at_most=MAX_CPU) for way, values in spent.items() if way != OURS]
    text = (
        f"The same, {TOGETHER_S:g} s at the emulator, {count} orders started evenly over {over_s:g} s: user and system time of the web "
        "process, divided by the orders. The queue's holds an answer to each of its client's questions, and grows with the "
        "generation's time; MCP's holds a preview. Our own answer, a link, has neither."
    )
    return Table("Ways in, CPU of the web process", text, figures)
