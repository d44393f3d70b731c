"""The generations that are measured, as the gateway takes them and as a script sends the same to fal."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from ssl import create_default_context
from typing import Any

from scripts.benchmarks.source import BenchmarkError, Source
from scripts.development.stack import Stack

#: Prompt and seed are always the same: the emulator paints the picture once, so that painting is not what is measured.
INPUTS = {"prompt": "a red bicycle", "seed": 7}
SIZE = {"width": 1024, "height": 1024}


@dataclass(frozen=True)
class Generation:
    model: str
    endpoint: str
    options: dict[str, Any]

    def gateway(self, stack: Stack, *, asynchronous: bool = False) -> dict[str, Any]:
        """Return the part of a `load.py` order that says what is asked."""
        body = {"model": self.model, "inputs": INPUTS, "options": self.options, "userId": "bench", "async": asynchronous}
        return {"method": "POST", "url": f"{stack.base_url}/api/images/generate", "body": body}

    def direct(self) -> dict[str, Any]:
        """Return the part of a `direct.py` order that says what is asked."""
        return {"endpoint": self.endpoint, "arguments": {**INPUTS, **self.options}}


FLUX_PRO = Generation("flux-pro", "fal-ai/flux-pro/v1.1", {"image_size": SIZE})
FLUX_DEV_PNG = Generation("flux-dev", "fal-ai/flux-lora", {"image_size": SIZE, "output_format": "png"})


def set_generation_time(stack: Stack, seconds: float) -> None:
    """Have every generation submitted from now on run that long at the emulator, without a wait before."""
    context = create_default_context(cafile=stack.bundle)
    body = json.dumps({"seconds": seconds, "queueSeconds": 0}).encode()
    request = urllib.request.Request(f"{stack.emulator_url}/_emulator/settings", body, method="POST")  # noqa: S310 - our own https
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    opener.open(request, timeout=10).close()


def warm_up(stack: Stack, load: Source, generation: Generation, *, count: int = 40) -> None:
    """Make connections, fill caches and paint the picture, so that nothing is measured for the first time."""
    set_generation_time(stack, 0.1)
    load.ask(**generation.gateway(stack), count=count).require("201")


def plain_workers(plain: Source, generation: Generation, *, count: int, over_s: float, workers: int) -> float:
    """Have plain RQ workers make them, started evenly over that time; return the CPU milliseconds per generation.

    `plain` runs `worker_per_generation.py`. Raises BenchmarkError when a job failed.
    """
    answer = plain.talk(**generation.direct(), count=count, over_s=over_s, workers=workers)
    if answer["failed"]:
        raise BenchmarkError(f"{answer['failed']} jobs of plain workers failed")
    return float(answer["cpu_ms"]) / count
