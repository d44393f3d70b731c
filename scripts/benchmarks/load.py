"""Makes HTTP requests to the gateway, in a process of its own; see `source.py`.

An order is `{url, method, body}` with either `count` and `over_s` (that many, started evenly over that time; 0: at once) or
`connections` and `for_s` (as many as possible for that long; `urls` has one for each, who pauses for `pause_s` after each answer, and they
begin evenly over `over_s`). `headers` go along. With `poll_s` it is an order to fal's queue: its status is asked for that often, and its
result at the end, all of which is one request then.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import aiohttp

from scripts.benchmarks.source import Answer, Order, Outcome, measured


async def carry_out(session: aiohttp.ClientSession, order: Order) -> Answer:
    with measured() as outcome:
        if "count" in order:
            count = int(order["count"])
            starts = [float(order.get("over_s", 0.0)) * number / count for number in range(count)]
            if not order.get("over_s"):
                # Each is a client of its own: of thousands of idle connections the gateway closes the eldest, also as they are used again.
                order = {**order, "headers": {**order.get("headers", {}), "Connection": "close"}}
            await asyncio.gather(*(_one(session, order, outcome, start) for start in starts))
        else:
            end = time.perf_counter() + float(order["for_s"])
            urls = order.get("urls") or [order["url"]] * int(order["connections"])
            starts = [float(order.get("over_s", 0.0)) * number / len(urls) for number in range(len(urls))]
            await asyncio.gather(
                *(_many(session, {**order, "url": url}, outcome, start, end) for url, start in zip(urls, starts, strict=True))
            )
    return vars(outcome)


async def _many(session: aiohttp.ClientSession, order: Order, outcome: Outcome, start_s: float, end: float) -> None:
    await asyncio.sleep(start_s)
    while time.perf_counter() < end:
        await _one(session, order, outcome, 0.0)
        await asyncio.sleep(order.get("pause_s", 0.0))


async def _one(session: aiohttp.ClientSession, order: Order, outcome: Outcome, start_s: float) -> None:
    if start_s:
        await asyncio.sleep(start_s)
    started = time.perf_counter()
    try:
        async with session.request(order["method"], order["url"], json=order.get("body"), headers=order.get("headers")) as response:
            text, status = await response.text(), str(response.status)
        if "poll_s" in order and status == "200":
            text, status = await _followed(session, json.loads(text), float(order["poll_s"]))
    except (aiohttp.ClientError, TimeoutError) as exc:
        text, status = repr(exc), type(exc).__name__
    outcome.add(time.perf_counter() - started, status, text)


async def _followed(session: aiohttp.ClientSession, queued: Mapping[str, Any], poll_s: float) -> tuple[str, str]:
    """Wait for a queued request as fal's own client does; return the body and the status of its result."""
    while True:
        async with session.get(queued["status_url"]) as response:
            if (await response.json())["status"] == "COMPLETED":
                break
        await asyncio.sleep(poll_s)
    async with session.get(queued["response_url"]) as response:
        return await response.text(), str(response.status)


def serve_async(made_with: Callable[[aiohttp.ClientSession], Callable[[Order], Awaitable[Answer]]]) -> None:
    """Carry out the orders of standard input in an event loop, which goes on between them: connected sockets have to answer pings."""

    async def serve_all() -> None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=200)) as session:
            carry_out = made_with(session)
            while line := await asyncio.to_thread(sys.stdin.readline):
                print(json.dumps(await carry_out(json.loads(line))), flush=True)

    asyncio.run(serve_all())


def main() -> None:
    serve_async(lambda session: partial(carry_out, session))
