"""Makes HTTP requests to the gateway, as ordered on standard input; see `source.py`. Run as a file, in a process of its own.

An order is `{url, method, body}` with either `count` and `over_s` (that many, started evenly over that time; 0: at once) or
`connections` and `for_s` (as many as possible for that long).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psutil


@dataclass
class Tally:
    """What is counted while an order runs."""

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    first_body: str = ""
    first_failure: str = ""


class Load:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def carry_out(self, order: dict[str, Any]) -> dict[str, Any]:
        tally, process = Tally(), psutil.Process()
        cpu, started = sum(process.cpu_times()[:2]), time.perf_counter()
        if "count" in order:
            count = int(order["count"])
            starts = [float(order.get("over_s", 0.0)) * number / count for number in range(count)]
            await asyncio.gather(*(self._one(order, tally, start) for start in starts))
        else:
            end = started + float(order["for_s"])
            await asyncio.gather(*(self._many(order, tally, end) for _ in range(int(order["connections"]))))
        return {
            "seconds": time.perf_counter() - started,
            "latencies_s": tally.latencies_s,
            "statuses": dict(tally.statuses),
            "first_body": tally.first_body,
            "first_failure": tally.first_failure,
            "cpu_s": sum(process.cpu_times()[:2]) - cpu,
            "pss_mb": process.memory_full_info().pss / 1e6,
        }

    async def _many(self, order: dict[str, Any], tally: Tally, end: float) -> None:
        while time.perf_counter() < end:
            await self._one(order, tally, 0.0)

    async def _one(self, order: dict[str, Any], tally: Tally, start_s: float) -> None:
        if start_s:
            await asyncio.sleep(start_s)
        started = time.perf_counter()
        try:
            async with self._session.request(order["method"], order["url"], json=order.get("body")) as response:
                text, status = await response.text(), str(response.status)
        except (aiohttp.ClientError, TimeoutError) as exc:
            text, status = repr(exc), type(exc).__name__
        tally.latencies_s.append(time.perf_counter() - started)
        tally.statuses[status] += 1
        tally.first_body = tally.first_body or text
        if not status.startswith("2") and not tally.first_failure:
            tally.first_failure = text[:300]


async def main() -> None:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=200)) as session:
        load = Load(session)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await load.carry_out(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
