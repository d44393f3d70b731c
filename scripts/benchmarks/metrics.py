"""The gateway's own counts, as `GET /metrics` gives them. Pure, but for the one request."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from scripts.benchmarks.seeding import get
from scripts.development.stack import Stack

LATE_S = 1.2
STAGE_SECONDS = "imagegw_job_stage_seconds"


@dataclass(frozen=True)
class Spent:
    """What a stage took so far: seconds of all generations together, and how many they were."""

    seconds: float = 0.0
    count: float = 0.0


def read(stack: Stack) -> str:
    """Return what the gateway counted; the last second may be missing."""
    return get(f"{stack.base_url}/metrics").decode()


def settled(stack: Stack) -> str:
    """Return what the gateway counted, once all of it is there: its processes gather their counts for a second."""
    time.sleep(LATE_S)
    return read(stack)


def total(text: str, name: str, **labels: str) -> float:
    """Return the sum of all samples of a name that carry these labels; 0 where there are none."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def by_stage(text: str) -> dict[str, Spent]:
    """Return what each stage took, all models together."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in (f"{STAGE_SECONDS}_sum", f"{STAGE_SECONDS}_count"):
                found[sample.labels["stage"]][sample.name.removeprefix(f"{STAGE_SECONDS}_")] += sample.value
    return {stage: Spent(values["sum"], values["count"]) for stage, values in found.items()}


def mean_ms(before: dict[str, Spent], after: dict[str, Spent]) -> dict[str, float]:
    """Return the mean milliseconds of each stage that was passed through between two readings."""
    means: dict[str, float] = {}
    for stage, now in after.items():
        then = before.get(stage, Spent())
        if (count := now.count - then.count) > 0:
            means[stage] = 1000 * (now.seconds - then.seconds) / count
    return means
