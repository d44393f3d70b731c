"""A user whose data are being deleted: how far that is, and the name under which what must be kept is kept. Pure."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

PREFIX = "former-"


@dataclass(frozen=True, kw_only=True)
class Departure:
    """`id` is the user. `pseudonym` is random, and gone from here with this record: nothing leads from one to the other afterwards.

    `login_digest`: by what it is known again that somebody was here before; None for users without an account.
    """

    id: str
    pseudonym: str
    asked_at: datetime
    attention_at: datetime
    login_digest: str | None = None
    jobs_deleted: int = 0
    uploads_deleted: int = 0


def new_pseudonym() -> str:
    return PREFIX + secrets.token_hex(16)
