"""A hundred hostile clients at once: one honest client does not notice, and nothing of theirs is left."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.service import wait_until
from tests.faults.place import Place, running_place
from tests.faults.strangers import besieged, port_of
from tests.support.connections import open_connections

SIEGE_S = 15.0


@pytest.fixture(scope="module")
def closed_place() -> Iterator[Place]:
    with running_place(ALLOW_ANONYMOUS="false") as running:
        yield running


@pytest.fixture
def place(closed_place: Place) -> Place:
    return closed_place


def test_a_hundred_hostile_clients_let_an_honest_one_order_and_leave_nothing_behind(place: Place) -> None:
    port = port_of(place)
    place.emulator.settings(seconds=0.2)
    before = memory_mb(place)

    seen = besieged(place, place.customer(tokens=1_000_000), SIEGE_S)

    print(
        f"health: p95 {seen.p95_s:.3f} s, longest {max(seen.health_s):.3f} s of {len(seen.health_s)}; {len(seen.jobs)} orders; {memory_mb(place) - before} MB more"
    )
    assert len(seen.jobs) >= 3
    wait_until(lambda: open_connections(port) < 20, 60, "the end of all hostile connections")
    assert memory_mb(place) - before < 400


def memory_mb(place: Place) -> int:
    pid = place.stack.process("web").pid
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize() // 2**20
