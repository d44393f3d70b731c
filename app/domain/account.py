"""Users, whose things are meant, and what a signed-in user's token stands for. Pure."""

from __future__ import annotations

import hashlib
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
    departing: bool = False
    """All that is kept of it is being deleted."""
    session_generation: int = 0
    """How often all its sessions have been ended."""
    kept_session: str | None = None
    """The one session that was not, the last time."""
    sessions_ended_at: datetime | None = None
    ended_alone_until: datetime | None = None
    """Until when there may be a session that was ended alone; the rest of the time nobody needs to look."""

    @property
    def is_administrator(self) -> bool:
        return self.role is Role.ADMIN and not self.disabled


@dataclass(frozen=True, kw_only=True)
class Session:
    """`generation` counts how often all sessions of the account have been ended; None in an outside provider's token."""

    id: str
    user_id: str
    expires_at: datetime
    generation: int | None = None
    issued_at: datetime | None = None

    def is_open(self, account: Account, now: datetime) -> bool:
        """Tell whether nothing the account knows has ended the session. That it was ended alone is kept elsewhere."""
        if account.disabled or now >= self.expires_at:
            return False
        if self.id == account.kept_session:
            return True
        if self.generation is not None:
            return self.generation == account.session_generation
        ended_at = account.sessions_ended_at
        # Tokens name whole seconds: one of the very second in which all were ended counts as older.
        return ended_at is None or (self.issued_at is not None and self.issued_at > ended_at)


def session_id_of(token: str) -> str:
    """Return what names a token's session: a hash of all that is signed. The signature itself can be spelled in more than one way."""
    return hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


class UserSort(StrEnum):
    """`spend`: those who were charged most this month, users without an account among them; nobody who was charged nothing."""

    NEWEST = "newest"
    ADDRESS = "address"
    BALANCE = "balance"
    SPEND = "spend"


@dataclass(frozen=True, kw_only=True)
class UserFilter:
    """`text` is a part of the address or the id, or the whole id."""

    text: str | None = None
    role: Role | None = None
    disabled: bool | None = None
    sort: UserSort = UserSort.NEWEST


@dataclass(frozen=True)
class UserPlace:
    """Where a page of users ends: the value that is sorted by, and the id."""

    value: str | int
    id: str
