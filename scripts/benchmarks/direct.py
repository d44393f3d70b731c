"""The baseline: a script that calls `fal_client.subscribe` and downloads the picture, without any gateway; see `source.py`.

An order is `{endpoint, arguments, count}`; several run as several threads of the script. Run as a file, in a process of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fal_client
import httpx
import psutil

downloads = httpx.Client(timeout=60)


def generate(endpoint: str, arguments: dict[str, Any]) -> tuple[float, str]:
    """Return the seconds until the picture's bytes are in a file of this machine, and the download's status."""
    started = time.perf_counter()
    result = fal_client.subscribe(endpoint, arguments)
    answer = downloads.get(result["images"][0]["url"])
    with tempfile.TemporaryFile() as file:
        file.write(answer.content)
    return time.perf_counter() - started, str(answer.status_code)


def carry_out(order: dict[str, Any]) -> dict[str, Any]:
    process = psutil.Process()
    cpu, started = sum(process.cpu_times()[:2]), time.perf_counter()
    count = int(order["count"])
    with ThreadPoolExecutor(count) as threads:
        done = list(threads.map(lambda _: generate(order["endpoint"], order["arguments"]), range(count)))
    return {
        "seconds": time.perf_counter() - started,
        "latencies_s": [seconds for seconds, _ in done],
        "statuses": dict(Counter(status for _, status in done)),
        "first_body": "",
        "first_failure": "",
        "cpu_s": sum(process.cpu_times()[:2]) - cpu,
        "pss_mb": process.memory_full_info().pss / 1e6,
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), flush=True)
