"""Users and ledger entries as records. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

#: Whose things are meant: one user's, those of several users, or, with None, everybody's.
Whose = str | tuple[str, ...] | None


def is_among(user_id: str, whose: Whose) -> bool:
    """Tell whether a user's things are meant."""
    return whose is None or user_id == whose or (isinstance(whose, tuple) and user_id in whose)


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user of the web app. `login` is unique: `email:<address>`, or `sub:<id>` for users of an outside identity provider."""

    id: str
    login: str
    email: str | None
    role: Role
    tokens: int
    created_at: datetime
    disabled: bool = False
    session_generation: int = 0
    """How often all its sessions have been ended."""
    kept_session: str | None = None
    """The one session that was not, the last time."""
    sessions_ended_at: datetime | None = None
    ended_alone_until: datetime | None = None
    """Until when there may be a session that was ended alone; the rest of the time nobody needs to look."""


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
    entries = []
    if used:
        entries.append(Entry(id=f"{job_id}:capture", user_id=user_id, type=EntryType.CAPTURE, balance=0, held=-used, at=at, job_id=job_id))
    if rest := held - used:
        entries.append(
            Entry(
                id=f"{job_id}:release",
                user_id=user_id,
                type=EntryType.RELEASE,
                balance=rest,
                held=-rest,
                at=at,
                job_id=job_id,
            )
        )
    return entries
