"""`scripts/soak`: rounds of orders under random troubles, each followed by a calm in which the promise is checked.

The long, random brother of the tests beside it, whose checks and customers it uses. It ends with 1 at the first broken promise
and tells the seed; a seed repeats the same troubles, though not the same timing.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.faults import outages
from tests.faults.customers import Customer
from tests.faults.place import Place, running_place
from tests.faults.soundness import problems
from tests.faults.storm import Storm
from tests.faults.strangers import besieged

CUSTOMERS = 5
ORDERS_A_ROUND = (10, 60)
OUTAGE_S = (0.5, 6.0)
MENDING_S = 150.0
#: How long a hundred hostile clients rage.
SIEGE_S = 60.0
#: Stage and kind of what fal may do wrong, and how often in a round at most.
FAL_TROUBLES = (
    ("submit", "error_503", 4),
    ("submit", "refuse_429", 4),
    ("submit", "drop_after_read", 3),
    ("submit", "slow", 3),
    ("run", "content_policy", 3),
    ("run", "fewer", 3),
    ("run", "error_500", 2),
    ("status", "error_503", 20),
    ("status", "html", 20),
    ("result", "drop", 4),
    ("cancel", "drop", 4),
    ("cancel", "stop", 4),
    ("file", "error_503", 4),
    ("webhook", "repeat", 5),
    ("webhook", "withheld", 5),
    ("webhook", "wrong_signature", 3),
)


class Soak:
    def __init__(self, place: Place, seed: int) -> None:
        self._place = place
        self._random = random.Random(seed)
        self._customers = [place.customer(tokens=10_000_000) for _ in range(CUSTOMERS)]
        self._troubles: Sequence[Callable[[], None]] = (
            self._kills,
            self._power_cut,
            self._redis_lost,
            self._mongo_frozen,
            self._mongo_dead,
            self._storage_away,
            self._strangers,
            self._quiet,
        )

    def round(self) -> str:
        """Let customers order while something breaks; return what it was, once everything has calmed down."""
        trouble = self._random.choice(self._troubles)
        self._spoil_fal()
        orders = [self._random.getrandbits(32) for _ in range(self._random.randint(*ORDERS_A_ROUND))]
        with ThreadPoolExecutor(CUSTOMERS + 1) as pool:
            breaking = pool.submit(trouble)
            for _ in pool.map(self._visit, orders):
                pass
            breaking.result()
        self._place.emulator.clear()
        outages.mended(self._place, MENDING_S)
        return trouble.__name__.strip("_").replace("_", " ")

    def _visit(self, seed: int) -> None:
        """One customer's visit: an order, sometimes repeated with its key, sometimes canceled."""
        chance = random.Random(seed)
        customer = self._customers[seed % CUSTOMERS]
        time.sleep(chance.uniform(0, 0.5))
        prompt, key = f"a red bicycle {uuid.uuid4().hex}", uuid.uuid4().hex
        num_images = chance.choice((1, 1, 1, 2, 5))
        job_ids = {customer.order(prompt, num_images=num_images, key=key) for _ in range(chance.choice((1, 1, 2)))}
        if len(job_ids) > 1:
            raise AssertionError(f"one key, two jobs: {job_ids}")
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0, 2))
            _cancel(customer, job_ids.pop())

    def _spoil_fal(self) -> None:
        for on, kind, most in self._random.sample(FAL_TROUBLES, self._random.randint(0, 3)):
            self._place.emulator.fault(on, kind, times=self._random.randint(1, most))

    def _kills(self) -> None:
        over = threading.Event()
        storm = Storm(self._place.stack, self._random.getrandbits(32))
        threading.Timer(self._random.uniform(5, 15), over.set).start()
        storm.rage(over)

    def _power_cut(self) -> None:
        self._pause()
        outages.power_cut(self._place.stack)

    def _redis_lost(self) -> None:
        with outages.redis_lost(self._place.stack):
            self._pause()

    def _mongo_frozen(self) -> None:
        with outages.mongo_frozen(self._place.stack):
            self._pause()

    def _mongo_dead(self) -> None:
        with outages.mongo_dead(self._place.stack):
            self._pause()

    def _storage_away(self) -> None:
        with outages.storage_away(self._place):
            self._pause()

    def _strangers(self) -> None:
        seen = besieged(self._place, self._customers[0], SIEGE_S)
        print(f"under siege {len(seen.jobs)} orders; a health check took {seen.p95_s:.2f} s at the 95th percentile", flush=True)

    def _quiet(self) -> None:
        """Nothing breaks but fal."""

    def _pause(self) -> None:
        time.sleep(self._random.uniform(*OUTAGE_S))


def _cancel(customer: Customer, job_id: str) -> None:
    """Cancel a job if the service can be reached at all; whoever wants to be sure asks again."""
    try:
        customer.cancel(job_id)
    except httpx.TransportError:
        return


def main(arguments: Sequence[str] | None = None) -> int:
    """Run rounds until the time is up; return 0, or 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to go on (default 10)")
    parser.add_argument("--seed", type=int, default=None, help="repeat the troubles of an earlier run")
    parser.add_argument("--webhooks", action="store_true", help="let fal's webhooks reach the service")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"seed {seed}", flush=True)
    with running_place(with_webhooks=options.webhooks, seconds=1.0) as place:
        return _soaked(place, Soak(place, seed), deadline=time.monotonic() + 60 * options.minutes)


def _soaked(place: Place, soak: Soak, *, deadline: float) -> int:
    number = 0
    while time.monotonic() < deadline:
        number += 1
        started = time.monotonic()
        try:
            name, broken = soak.round(), problems(place)
        except AssertionError as error:
            name, broken = "a round", [str(error)]
        ends = Counter(job["error"]["code"] if job["error"] else job["status"] for job in place.jobs())
        print(f"round {number}: {name}, {time.monotonic() - started:.0f} s; so far {dict(ends)}", flush=True)
        if broken:
            print("\n".join(["BROKEN:", *broken, place.last_words()]), file=sys.stderr)
            return 1
    ledger = place.verify_ledger()
    print(ledger.stdout.strip())
    return ledger.returncode


if __name__ == "__main__":
    sys.exit(main())
