"""Endpoints as their owners manage them, and the log of what was sent there.

`owners` are those a caller may act for: itself, and an administrator the operator too. Somebody else's is NotFound.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from attrs import define
from attrs import field as attrs_field

from app.domain import clock
from app.domain.delivery import TEST, Delivery, DeliveryStatus
from app.domain.endpoint import MAX_ENDPOINTS, Endpoint, EndpointStatus, EventFilter, with_new_secret
from app.domain.errors import FieldError, IdempotencyMismatch, InvalidRequest, NotFinished, NotFound
from app.domain.event import Event
from app.services.deliveries.produce import Producer
from app.services.deliveries.secrets import Secrets
from app.stores.accounts import KeyStore
from app.stores.deliveries import DeliveryStore, EndpointStore

Owners = Sequence[str]
MAX_RECOVERED = 10_000
KEY_OWNED = "key:"
LOOKED_AT_ONCE = 500
#: How long a test waits for its receiver, a little longer than an attempt takes, and how often it looks. Seconds.
TEST_WAIT_S, TEST_LOOK_S = 18.0, 0.1


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An endpoint as its owner wants it; the URL is checked."""

    url: str
    events: tuple[str, ...]
    description: str | None = None
    filter: EventFilter = field(default_factory=EventFilter)
    include_images: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)


@define(eq=False, slots=False, kw_only=True)
class Endpoints:
    _endpoints: EndpointStore
    _deliveries: DeliveryStore
    _secrets: Secrets
    _producer: Producer
    _keys: KeyStore
    _log_days: int
    _now: Callable[[], datetime] = clock.now
    _looked: tuple[str, str] = attrs_field(init=False, default=("", ""))

    def sweep(self) -> int:
        """Delete endpoints whose API key was revoked or has expired: nobody else can see them. Looks at the next few; returns how many."""
        found = self._endpoints.of_keys(after=self._looked, limit=LOOKED_AT_ONCE)
        self._looked = (found[-1].owner, found[-1].id) if len(found) == LOOKED_AT_ONCE else ("", "")
        now = self._now()
        live = {KEY_OWNED + key.id for key in self._keys.of([each.owner.removeprefix(KEY_OWNED) for each in found]) if key.is_live(now)}
        ended = [each for each in found if each.owner not in live]
        for each in ended:
            self._endpoints.remove(each.id)
            self._end(each.id, DeliveryStatus.DROPPED, "its API key has ended")
        return len(ended)

    def create(self, owner: str, wanted: Wanted, *, key: tuple[str, str] | None = None) -> tuple[Endpoint, str]:
        """Register an endpoint; return it with its secret, which is shown this once. Raises InvalidRequest for one too many.

        `key`, unique for the caller, and the request's fingerprint let a repeated request have the answer of the first. Raises
        IdempotencyMismatch where the key is another request's.
        """
        if key and (earlier := self._endpoints.by_order_key(key[0])):
            if earlier.fingerprint != key[1]:
                raise IdempotencyMismatch("This Idempotency-Key was used for another request; use a new key for a new webhook")
            return earlier, self._secrets.shown(earlier)[0]
        endpoint_id, now = clock.new_id(), self._now()
        secret, text = self._secrets.made(endpoint_id)
        fields = {**vars(wanted), "headers": self._secrets.locked_headers(wanted.headers, endpoint_id)}
        if key:
            fields |= {"order_key": key[0], "fingerprint": key[1]}
        endpoint = Endpoint(id=endpoint_id, owner=owner, secrets=(secret,), created_at=now, updated_at=now, **fields)
        if not self._endpoints.insert(endpoint):
            return self.create(owner, wanted, key=key)  # Another request with the same key was first.
        # Counted with it, so that of several at once none is overlooked.
        if self._endpoints.count(owner) > MAX_ENDPOINTS:
            self._endpoints.remove(endpoint_id)
            detail = f"At most {MAX_ENDPOINTS} webhooks; delete one first."
            raise InvalidRequest(detail, [FieldError("/url", detail)])
        return endpoint, text

    def get(self, endpoint_id: str, owners: Owners) -> Endpoint:
        found = self._endpoints.get(endpoint_id) if clock.is_id(endpoint_id) else None
        if found is None or found.owner not in owners:
            raise NotFound("No such webhook")
        return found

    def page(self, owners: Owners, *, before_id: str | None, limit: int) -> list[Endpoint]:
        return self._endpoints.page(owners, before_id=before_id, limit=limit)

    def change(
        self, endpoint_id: str, owners: Owners, changes: Mapping[str, Any], status: EndpointStatus | None, *, by: str = "its owner"
    ) -> Endpoint:
        """Change some fields, and enable or disable it. Enabling forgets its failures; what a disabled one was to be sent is given up."""
        found = self.get(endpoint_id, owners)
        if "headers" in changes:
            changes = {**changes, "headers": self._secrets.locked_headers(changes["headers"], endpoint_id)}
        now = self._now()

        def changed(current: Endpoint) -> Endpoint:
            current = replace(current, **changes, updated_at=now)
            if status is EndpointStatus.ENABLED:
                return current.enabled(now=now)
            return (current.disabled(f"disabled by {by}", now=now) or current) if status else current

        written = self._endpoints.change(found, changed)
        if written is None:
            raise NotFound("No such webhook")
        if status is EndpointStatus.DISABLED:
            self._end(endpoint_id, DeliveryStatus.FAILED, "the endpoint is disabled")
        return written

    def remove(self, endpoint_id: str, owners: Owners) -> None:
        """Delete an endpoint; what it was to be sent yet is dropped."""
        self.get(endpoint_id, owners)
        self._endpoints.remove(endpoint_id)
        self._end(endpoint_id, DeliveryStatus.DROPPED, "the endpoint was deleted")

    def rotate(self, endpoint_id: str, owners: Owners, *, overlap: timedelta) -> tuple[Endpoint, str]:
        """Give an endpoint a new secret and return it; the one before signs along until the overlap ends."""
        found = self.get(endpoint_id, owners)
        new, text = self._secrets.made(endpoint_id)
        now = self._now()
        rotated = self._endpoints.change(
            found, lambda e: replace(e, secrets=with_new_secret(e.secrets, new, overlap=overlap, now=now), updated_at=now)
        )
        if rotated is None:
            raise NotFound("No such webhook")
        return rotated, text

    def test(self, endpoint_id: str, owners: Owners, event: str) -> Delivery:
        """Send a test now, to a disabled endpoint too, and return what came of it; it is tried once. Still open where nobody answers."""
        endpoint = self.get(endpoint_id, owners)
        data = {"test": True, "endpointId": endpoint.id, "message": "A test, sent because the owner of this webhook asked for it"}
        told = Event(type=event, key=clock.new_id(), owners=(), at=self._now(), data=lambda: data)
        delivery = replace(self._producer.made(told, endpoint, data), type=TEST)
        self._deliveries.insert_all([delivery])
        self._producer.hint({delivery.lane})
        end = time.monotonic() + TEST_WAIT_S
        while (found := self._deliveries.get(delivery.id) or delivery).is_open and time.monotonic() < end:
            time.sleep(TEST_LOOK_S)
        return found

    # -- the log --------------------------------------------------------------------------------------------------------------------

    def deliveries(self, endpoint_id: str, owners: Owners, **wanted: Any) -> list[Delivery]:
        """Return what was sent to an endpoint, newest first; `wanted` as `DeliveryStore.page` takes it."""
        return self._deliveries.page(self.get(endpoint_id, owners).id, **wanted)

    def of_job(self, job_id: str, owners: Owners) -> list[Delivery]:
        """Return what was sent of a job to these owners: to their endpoints, and to the order's own webhook."""
        return [each for each in self._deliveries.of_job(job_id) if each.owner in owners]

    def delivery(self, delivery_id: str, owners: Owners) -> Delivery:
        found = self._deliveries.get(delivery_id)
        if found is None or found.owner not in owners:
            raise NotFound("No such delivery")
        return found

    def redeliver(self, delivery_id: str, owners: Owners) -> Delivery:
        """Send a delivery again, after success too, under the same id. Raises NotFinished while it is being sent."""
        again = self._deliveries.change(self.delivery(delivery_id, owners), lambda d: d.redelivered(now=self._now()))
        if again is None:
            raise NotFinished("It is being sent just now")
        self._producer.hint({again.lane})
        return again

    def recover(self, endpoint_id: str, owners: Owners, *, since: datetime) -> int:
        """Send again what was given up since, oldest first; returns how many."""
        count = self._deliveries.renew_failed(self.get(endpoint_id, owners).id, since, now=self._now(), limit=MAX_RECOVERED)
        self._producer.hint({endpoint_id})
        return count

    def _end(self, endpoint_id: str, status: DeliveryStatus, reason: str) -> None:
        self._deliveries.end_pending(endpoint_id, status, reason, now=self._now(), log_days=self._log_days)
