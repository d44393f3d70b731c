"""One generation at a time, as in `latency`, with fal telling the gateway at once: its webhooks reach us."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.benchmarks import metrics
from scripts.benchmarks.scenarios.latency import SECONDS, compared
from scripts.benchmarks.source import BenchmarkError
from scripts.benchmarks.table import Figure, Table
from scripts.development.stack import Stack

#: An address at which the emulator reaches the gateway: it signs and delivers webhooks as fal does.
SETTINGS = {"PUBLIC_URL": "http://127.0.0.1:{port}"}
PAIRS, QUICK_PAIRS = 5, 1
DELIVERIES, JOBS = "imagegw_webhook_deliveries_total", "imagegw_jobs_total"


def run(stack: Stack, quick: bool) -> Sequence[Table]:  # noqa: FBT001 - every scenario's signature
    figures = compared(stack, QUICK_PAIRS if quick else PAIRS, at_most=1.02)
    text = (
        f"The same, {SECONDS:g} s at the emulator, with `PUBLIC_URL` set: signed webhooks are delivered to the gateway, one for every "
        "generation. The script still asks every 0.1 s, as `fal_client.subscribe` does. News are the webhooks that told what no poll had "
        "told before."
    )
    return [Table("Latency, one at a time, with webhooks", text, [*figures, _first(metrics.settled(stack))])]


def _first(text: str) -> Figure:
    """Return the share of webhooks that were faster than the polls. Raises BenchmarkError unless one arrived for every generation."""
    jobs = metrics.total(text, JOBS)
    news, known, refused = (metrics.total(text, DELIVERIES, outcome=outcome) for outcome in ("news", "known", "refused"))
    if not jobs or news + known < jobs or refused:
        raise BenchmarkError(f"{jobs:.0f} jobs, but webhooks: {news:.0f} with news, {known:.0f} with none, {refused:.0f} refused")
    return Figure.of("webhooks with news", [100 * news / (news + known)], "%")
