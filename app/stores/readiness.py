"""Whether the database may be trusted with orders: the server keeps its word, and the unique indexes are there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from app.domain.errors import StoreNotReady, StoreRefused, StoreUnavailable
from app.stores.database import Database, ping
from app.stores.indexes import Missing, ensure_indexes
from app.stores.proof import prove

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0


class Readiness:
    """One process' knowledge of its database. Asking costs nothing once it is known to be fit; until then one call a second looks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._is_proven = False
        self._refusal: StoreRefused | None = None
        self._missing: Sequence[Missing] | None = None
        self._looked_at = float("-inf")

    def prove(self) -> None:
        """Prove once that the server keeps its word. Raises StoreRefused, StoreUnavailable."""
        if not self._is_proven:
            with self._lock:
                self._prove()

    def look(self) -> None:
        """Look anew, and make or mend the indexes. Raises StoreNotReady, StoreUnavailable."""
        with self._lock:
            self._look()
        self._raise_if_unfit()

    def require(self) -> None:
        """Raise StoreNotReady where the database is known to be unfit for orders, StoreUnavailable where nobody knows."""
        if self._missing is None or _unique(self._missing):
            with self._lock:
                # Whoever waited for another's look does not look again: in an outage each would wait in turn.
                if time.monotonic() - self._looked_at >= LOOK_AGAIN_S:
                    self._look()
            self._raise_if_unfit()

    def check(self) -> None:
        """Raise unless the database answers and is fit for orders."""
        ping(self._database)
        self.require()

    def _prove(self) -> None:
        if self._is_proven:
            return
        try:
            prove(self._database)
        except StoreRefused as exc:
            self._refusal = exc
            raise
        self._is_proven, self._refusal = True, None

    def _look(self) -> None:
        try:
            self._prove()
            found = ensure_indexes(self._database)
        finally:
            self._looked_at = time.monotonic()
        for missing in found:
            if self._missing is None or missing not in self._missing:
                level = logging.CRITICAL if missing.is_unique else logging.ERROR
                named = {"collection": missing.collection, "index": missing.name}
                log.log(level, "an index cannot be built: %s", missing.reason, extra=named)
        if self._missing and not found:
            log.warning("all indexes are there again")
        self._missing = found

    def _raise_if_unfit(self) -> None:
        if self._refusal:
            raise self._refusal
        if self._missing is None:
            raise StoreUnavailable("The database does not answer")
        if names := _unique(self._missing):
            raise StoreNotReady(f"No order is taken: the database lacks the unique index {', '.join(names)}; the log says why")


def _unique(missing: Sequence[Missing]) -> list[str]:
    return [f"{index.collection}.{index.name}" for index in missing if index.is_unique]
