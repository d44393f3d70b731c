"""A page of the gallery: its list, and the thumbnails that it shows, before they exist and afterwards."""

import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from scripts.benchmarks.bench import FLUX_PRO, Bench
from scripts.benchmarks.machine import cpu_ms
from scripts.benchmarks.source import BenchmarkError
from scripts.benchmarks.tables import Figure, Table

PICTURES = 50
#: Of the web process in all, once they exist.
MAX_THUMBNAILS_MS = 300.0


def run(bench: Bench) -> Sequence[Table]:
    bench.warm_load(FLUX_PRO).ask(**bench.generate(FLUX_PRO), count=PICTURES).require("201")
    list_ms, images = _page(bench)
    made_ms, _ = _thumbnails(bench, images)
    pages, wall, cpu = [list_ms], list[float](), list[float]()
    for _ in range(bench.rounds):
        list_ms, images = _page(bench)
        wall_ms, web_ms = _thumbnails(bench, images)
        pages.append(list_ms)
        wall.append(wall_ms)
        cpu.append(web_ms)
    figures = [
        Figure.of(f"the list of {PICTURES} pictures", pages, "ms"),
        Figure.of(f"{PICTURES} thumbnails, made when first asked for", [made_ms], "ms"),
        Figure.of(f"{PICTURES} thumbnails that exist, one after the other", wall, "ms"),
        Figure.of("processor time of the web process for these", cpu, "ms", at_most=MAX_THUMBNAILS_MS),
    ]
    text = f"`GET /api/images?limit={PICTURES}`, then its {PICTURES} `thumbnailUrl`s one after the other, through HTTP."
    return [Table("Gallery", text, figures)]


def _page(bench: Bench) -> tuple[float, list[Any]]:
    began = time.perf_counter()
    images = json.loads(bench.fetch(f"/api/images?limit={PICTURES}"))["images"]
    if len(images) != PICTURES:
        raise BenchmarkError(f"a page of {len(images)} pictures")
    return 1000 * (time.perf_counter() - began), images


def _thumbnails(bench: Bench, images: Sequence[Any]) -> tuple[float, float]:
    """Return how long all took, and the web process's own time meanwhile, in milliseconds."""
    began = time.perf_counter()
    with cpu_ms(bench.stack) as spent:
        for image in images:
            parts = urlsplit(image["thumbnailUrl"])
            bench.fetch(f"{parts.path}?{parts.query}")
    return 1000 * (time.perf_counter() - began), spent["web"]
