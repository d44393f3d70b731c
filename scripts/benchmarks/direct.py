"""The baseline: a script that calls `fal_client.subscribe` and downloads the picture, without any gateway.

In a process of its own, see `source.py`. An order is `{endpoint, arguments, count}`; several run as several threads of the script.
"""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fal_client
import httpx

from scripts.benchmarks.source import Answer, Order, measured, serve

#: Its certificates are read once.
downloads = httpx.Client(timeout=60)


def picture(endpoint: str, arguments: dict[str, Any]) -> httpx.Response:
    """Have one picture made; return the answer to its download."""
    return downloads.get(fal_client.subscribe(endpoint, arguments)["images"][0]["url"])


def carry_out(order: Order) -> Answer:
    def generate(_: int) -> tuple[float, str]:
        """Return the seconds until the picture's bytes are in a file of this machine, and the download's status."""
        started = time.perf_counter()
        answer = picture(order["endpoint"], order["arguments"])
        with tempfile.TemporaryFile() as file:
            file.write(answer.content)
        return time.perf_counter() - started, str(answer.status_code)

    count = int(order["count"])
    with measured() as outcome, ThreadPoolExecutor(count) as threads:
        for seconds, status in threads.map(generate, range(count)):
            outcome.add(seconds, status)
    return vars(outcome)


def main() -> None:
    serve(carry_out)
