"""What happens to a user's tokens, as lines of a ledger. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial


class EntryType(StrEnum):
    SIGNUP = "signup"
    TOPUP = "topup"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the ledger, never changed. `balance` is what it did to the spendable tokens, `held` to the held ones.

    The sum of `balance` over an account's entries is its balance, the sum of `held` its holds. The id derives from what caused the
    entry (`<jobId>:capture`), so writing it twice is writing it once.
    """

    id: str
    user_id: str
    type: EntryType
    balance: int
    held: int
    at: datetime
    job_id: str | None = None
    notes: str | None = None


@dataclass(frozen=True)
class Balance:
    tokens: int
    held: int


def signup(user_id: str, tokens: int, at: datetime) -> Entry:
    return Entry(id=f"{user_id}:signup", user_id=user_id, type=EntryType.SIGNUP, balance=tokens, held=0, at=at)


def topup(user_id: str, tokens: int, *, key: str, notes: str | None, at: datetime) -> Entry:
    return Entry(id=f"topup:{key}", user_id=user_id, type=EntryType.TOPUP, balance=tokens, held=0, at=at, notes=notes)


def hold(user_id: str, job_id: str, tokens: int, at: datetime) -> Entry:
    return Entry(id=f"{job_id}:hold", user_id=user_id, type=EntryType.HOLD, balance=-tokens, held=tokens, at=at, job_id=job_id)


def settlement(user_id: str, job_id: str, *, held: int, used: int, at: datetime) -> list[Entry]:
    """Return the entries that end a hold: what was used is captured, the rest released."""
    entry = partial(Entry, user_id=user_id, at=at, job_id=job_id)
    entries = [entry(id=f"{job_id}:capture", type=EntryType.CAPTURE, balance=0, held=-used)] if used else []
    if rest := held - used:
        entries.append(entry(id=f"{job_id}:release", type=EntryType.RELEASE, balance=rest, held=-rest))
    return entries


def renamed(entry: Entry, name: str) -> Entry:
    """Return an entry that no job has caused under another name, without anybody's words. Its id follows from the one before."""
    entry_id = f"{name}:signup" if entry.type is EntryType.SIGNUP else f"topup:{hashlib.sha256(f'{name} {entry.id}'.encode()).hexdigest()}"
    return replace(entry, id=entry_id, user_id=name, notes=None)
