"""The proof that a server keeps its word: of two simultaneous changes of one document, one wins. Everything here rests on that.

FerretDB 1.24 had up to ten winners. Whatever calls itself compatible is asked, and not believed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from pymongo.errors import PyMongoError

from app.domain import clock
from app.domain.errors import StoreRefused, StoreUnavailable
from app.stores.database import Collection, Database

ROUNDS = 20
ROUND_TIMEOUT_S = 120.0
LEFT_BEHIND = timedelta(hours=1)


def prove(database: Database) -> None:
    """Have two threads change one document at the same moment, again and again. Raises StoreRefused, StoreUnavailable."""
    try:
        name = _name_of(database.command("buildInfo"))
        if name.startswith("FerretDB"):
            raise StoreRefused(
                f"{name} cannot be used: it lets several simultaneous changes of one document win. Use MongoDB; see docs/stores.md"
            )
        if winners := _other_than_one(database["selfTests"]):
            raise StoreRefused(f"{name} cannot be used: of two simultaneous changes of one document {winners} won. See docs/stores.md")
    except PyMongoError as exc:
        raise StoreUnavailable("The database does not answer") from exc


def _name_of(info: Mapping[str, Any]) -> str:
    """Return what the server calls itself; FerretDB says so in one of several fields, by version."""
    if "ferretdb" in repr(info).lower():
        about = info.get("ferretdb")
        return f"FerretDB {about.get('version', '') if isinstance(about, dict) else info.get('ferretdbVersion', '')}".strip()
    return f"A server that answers as MongoDB {info.get('version', '?')}"


def _other_than_one(tests: Collection) -> str | None:
    """Return how many won a round that had not one winner, in words; None where each round had one."""
    now, test_id = clock.now(), clock.new_id()
    tests.delete_many({"at": {"$lt": now - LEFT_BEHIND}})
    tests.insert_one({"_id": test_id, "round": 0, "at": now})
    together = threading.Barrier(2, timeout=ROUND_TIMEOUT_S)
    with ThreadPoolExecutor(2, thread_name_prefix="proof") as pool:
        racers = [pool.submit(_race, tests, test_id, together) for _ in range(2)]
        wins = [racer.result() for racer in racers]
    tests.delete_one({"_id": test_id})
    return next(("both" if all(won) else "none" for won in zip(*wins, strict=True) if sum(won) != 1), None)


def _race(tests: Collection, test_id: str, together: threading.Barrier) -> list[bool]:
    won = []
    try:
        for number in range(ROUNDS):
            together.wait()
            change = {"$set": {"round": number + 1, "winner": threading.get_ident()}}
            won.append(tests.update_one({"_id": test_id, "round": number}, change).matched_count == 1)
    except threading.BrokenBarrierError as exc:
        raise StoreUnavailable("The database does not answer") from exc
    except BaseException:
        together.abort()
        raise
    return won
