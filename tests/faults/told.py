"""Somebody who listens to every job: an endpoint of the operator's, its receiver, and what must be true of the two."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain import clock
from app.domain.delivery import CLAIM, delivery_id
from app.domain.endpoint import OPERATOR, Endpoint
from app.services.deliveries.secrets import Secrets, Vault
from app.stores.database import Database
from app.stores.deliveries import EndpointStore
from imagegen.signatures import Forged, key_of, verify
from scripts.stack.stack import Stack
from tests.acceptance.service import Answer
from tests.support.receiver import Receiver, running_receiver

#: A claim that is so old was cut off: this receiver answers at once.
SURELY_CUT_OFF = timedelta(seconds=5)


class Listener:
    def __init__(self, database: Database, receiver: Receiver, endpoint_id: str, secret: str) -> None:
        self.receiver, self.endpoint_id = receiver, endpoint_id
        self._database, self._key = database, key_of(secret)

    def wait(self, within_s: float) -> None:
        """Wait until everything is delivered; what a killed courier had claimed is due a minute later, which is not waited for."""
        deadline = time.monotonic() + within_s
        while left := self._open():
            assert time.monotonic() < deadline, f"not delivered after {within_s:g} s: {left[:5]}"
            now = datetime.now(UTC)
            cut_off = {"status": "delivering", "claimedUntil": {"$lt": now + CLAIM - SURELY_CUT_OFF}}
            self._database["deliveries"].update_many(cut_off, {"$set": {"claimedUntil": now, "attentionAt": now}, "$inc": {"rev": 1}})
            time.sleep(0.2)

    def problems(self, jobs: Iterable[Answer]) -> Iterator[str]:
        """Yield ends of settled jobs that nobody will ever be told of, and calls that are forged or cannot be told from others."""
        kept = {doc["_id"]: doc for doc in self._database["deliveries"].find({"endpointId": self.endpoint_id})}
        heard = self._heard()
        for job in jobs:
            event = f"job.{job['status']}"
            wanted = delivery_id(job["_id"], event, self.endpoint_id)
            if job["settlement"] == "done" and wanted not in kept:
                yield f"{job['_id']}: settled, and nobody is told of {event}"
            if heard[job["_id"], event] - {wanted}:
                yield f"{job['_id']}: {event} was told under several ids: {heard[job['_id'], event]}"
        told = {each for ids in heard.values() for each in ids}
        yield from (
            f"{doc['_id']}: delivered, but never received"
            for doc in kept.values()
            if doc["status"] == "delivered" and doc["_id"] not in told
        )
        for call in self.receiver.calls:
            try:
                verify(call.headers, call.body, [self._key], now_s=0, tolerance_s=None)
            except Forged as exc:
                yield f"{call.id}: {exc}"

    def times_told(self) -> list[int]:
        """Return how often each event has come."""
        times: dict[str, int] = defaultdict(int)
        for call in self.receiver.calls:
            times[call.id] += 1
        return list(times.values())

    def untold(self, jobs: Iterable[Answer]) -> list[str]:
        """Return the jobs whose end has not come."""
        heard = self._heard()
        return [job["_id"] for job in jobs if not heard[job["_id"], f"job.{job['status']}"]]

    def _heard(self) -> dict[tuple[str, str], set[str]]:
        heard: dict[tuple[str, str], set[str]] = defaultdict(set)
        for call in list(self.receiver.calls):
            heard[call.said["data"]["jobId"], call.said["type"]].add(call.id)
        return heard

    def _open(self) -> list[Any]:
        return list(self._database["deliveries"].find({"status": {"$in": ["pending", "delivering"]}}, {"body": 0}))


@contextmanager
def listening(stack: Stack, database: Database) -> Iterator[Listener]:
    """Let an endpoint of the operator's hear of every job."""
    endpoints, now = EndpointStore(database), clock.now()
    secrets = Secrets(endpoints=endpoints, vault=Vault(stack.env["JWT_SECRET"]))
    endpoint_id = clock.new_id()
    secret, text = secrets.made(endpoint_id)
    with running_receiver() as receiver:
        endpoint = Endpoint(
            id=endpoint_id, owner=OPERATOR, url=receiver.url(), events=("job.*",), created_at=now, updated_at=now, secrets=(secret,)
        )
        endpoints.insert(endpoint)
        yield Listener(database, receiver, endpoint_id, text)
