"""What a scenario works with: a running stack, processes that make requests, generations to ask for, and the gateway's own counts."""

import contextlib
import functools
import os
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ssl import create_default_context
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from scripts.benchmarks.source import Source
from scripts.stack.ports import free_port
from scripts.stack.stack import Stack

#: Prompt and seed are always the same: the emulator paints the picture once, so that painting is not what is measured.
INPUTS = {"prompt": "a red bicycle", "seed": 7}
SIZE = {"width": 1024, "height": 1024}
#: The gateway's processes gather their counts for a second.
COUNTED_S = 1.2
STAGE_SECONDS = "imagegw_job_stage_seconds"
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


@dataclass(frozen=True)
class Generation:
    """What is asked for, as the gateway takes it and as a script sends the same to fal."""

    model: str
    endpoint: str
    options: dict[str, Any]

    @property
    def order(self) -> dict[str, Any]:
        """The body of a POST to the gateway, but for whom it is made."""
        return {"model": self.model, "inputs": INPUTS, "options": self.options}

    @property
    def direct(self) -> dict[str, Any]:
        """The part of an order for `direct.py` or `worker_per_generation.py` that says what is asked."""
        return {"endpoint": self.endpoint, "arguments": {**INPUTS, **self.options}}


FLUX_PRO = Generation("flux-pro", "fal-ai/flux-pro/v1.1", {"image_size": SIZE})
FLUX_DEV_PNG = Generation("flux-dev", "fal-ai/flux-lora", {"image_size": SIZE, "output_format": "png"})


class Bench(contextlib.ExitStack):
    """A context manager around the measurements of one scenario: all that is started for them ends with it."""

    def __init__(self, *, quick: bool) -> None:
        super().__init__()
        self.quick, self.rounds, self.port = quick, 1 if quick else 3, free_port()
        self.settings = dict(SETTINGS)

    @functools.cached_property
    def stack(self) -> Stack:
        """The service, started when it is first asked for, with the `settings` of that moment."""
        env = {key: os.environ[key] for key in KEPT_VARIABLES if key in os.environ}
        return self.enter_context(Stack(None, env, self.settings, quiet=True, port=self.port))

    def source(self, script: str) -> Source:
        """Start one of the scripts that make requests."""
        return self.enter_context(Source(script, self.stack.env))

    def warm_load(self, generation: Generation, *, count: int = 40) -> Source:
        """Start `load.py`; make connections, fill caches and paint the picture, so that nothing is measured for the first time."""
        load = self.source("load.py")
        self.set_generation_time(0.1)
        load.ask(**self.generate(generation), count=count).require("201")
        return load

    def set_generation_time(self, seconds: float) -> None:
        """Have every generation submitted from now on run that long at the emulator, without a wait before."""
        url, context = f"{self.stack.emulator_url}/_emulator/settings", create_default_context(cafile=self.stack.bundle)
        httpx.post(url, json={"seconds": seconds, "queueSeconds": 0}, verify=context, trust_env=False).raise_for_status()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the part of an order for `load.py` that says what is asked of the gateway."""
        return {"method": "POST", "url": self.stack.base_url + path, "body": {**body, "userId": "bench"}}

    def generate(self, generation: Generation, *, asynchronous: bool = False) -> dict[str, Any]:
        return self.post("/api/images/generate", {**generation.order, "async": asynchronous})

    def look_up(self, path: str) -> dict[str, Any]:
        """Return the part of an order for `load.py` that GETs from the gateway."""
        return {"method": "GET", "url": self.stack.base_url + path}

    def fetch(self, path: str) -> bytes:
        """Fetch a page of the gateway from this process."""
        with urllib.request.urlopen(self.stack.base_url + path, timeout=120) as answer:  # noqa: S310 - our own http
            return bytes(answer.read())

    def counts(self, *, after_s: float = COUNTED_S) -> str:
        """Return what the gateway has counted: all, or with `after_s` 0 what is there already."""
        time.sleep(after_s)
        return self.fetch("/metrics").decode()


@dataclass(frozen=True)
class Spent:
    """What a stage took so far: seconds of all generations together, and how many they were."""

    seconds: float = 0.0
    count: float = 0.0


def total(text: str, name: str, **labels: str) -> float:
    """Return the sum of all samples of a name that carry these labels; 0 where there are none."""
    return sum(sample.value for sample in _samples(text) if sample.name == name and labels.items() <= sample.labels.items())


def _samples(text: str) -> Iterator[Sample]:
    return (sample for family in text_string_to_metric_families(text) for sample in family.samples)


def by_stage(text: str) -> dict[str, Spent]:
    """Return what each stage took, all models together."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for sample in _samples(text):
        if "stage" in sample.labels:
            found[sample.labels["stage"]][sample.name] += sample.value
    return {stage: Spent(sums[f"{STAGE_SECONDS}_sum"], sums[f"{STAGE_SECONDS}_count"]) for stage, sums in found.items()}


def mean_ms(before: dict[str, Spent], after: dict[str, Spent]) -> dict[str, float]:
    """Return the mean milliseconds of each stage that was passed through between two readings."""
    means: dict[str, float] = {}
    for stage, now in after.items():
        then = before.get(stage, Spent())
        if (count := now.count - then.count) > 0:
            means[stage] = 1000 * (now.seconds - then.seconds) / count
    return means
