"""The `accounts` collection: who users are. Their tokens are changed in `ledger.py` only."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from app.domain.account import Account, Role
from app.domain.errors import EmailTaken, StoreUnavailable
from app.domain.ledger import Entry
from app.stores.database import Database, Document, store
from app.stores.ledger import LedgerStore, entry_document


@store
class AccountStore:
    def __init__(self, database: Database) -> None:
        self._accounts = database["accounts"]
        self._ledger = LedgerStore(database)

    def insert(self, account: Account, *, password_hash: str | None, opening: Entry) -> None:
        """Write a new account together with its opening entry. Raises EmailTaken where the login exists."""
        doc: Document = {
            "_id": account.id,
            "login": account.login,
            "email": account.email,
            "passwordHash": password_hash,
            "role": account.role.value,
            "tokens": account.tokens,
            "holds": {},
            "outbox": [entry_document(opening)],
            "outboxAt": opening.at,
            "topups": [],
            "createdAt": account.created_at,
        }
        try:
            self._accounts.insert_one(doc)
        except DuplicateKeyError as exc:
            raise EmailTaken("An account with this email exists already; log in instead") from exc
        with contextlib.suppress(StoreUnavailable):  # The account is open; the sweep copies what is still in its outbox.
            self._ledger.copy_outbox(account.id, [opening])

    def get(self, user_id: str) -> Account | None:
        doc = self._accounts.find_one({"_id": user_id}, {"outbox": 0, "passwordHash": 0})
        return _account(doc) if doc else None

    def by_login(self, login: str) -> tuple[Account, str | None] | None:
        """Return the account of a login with its password hash."""
        doc = self._accounts.find_one({"login": login})
        return (_account(doc), doc["passwordHash"]) if doc else None

    def of(self, user_ids: Sequence[str]) -> list[Account]:
        """Return the accounts there are of these ids, in no order."""
        found = self._accounts.find({"_id": {"$in": list(user_ids)}}, {"outbox": 0, "passwordHash": 0})
        return [_account(doc) for doc in found]

    def set_disabled(self, user_id: str, *, disabled: bool) -> bool:
        return bool(self._accounts.update_one({"_id": user_id}, {"$set": {"disabled": disabled}}).matched_count)

    def end_sessions(self, user_id: str, at: datetime) -> None:
        """End all sessions of an account."""
        self._accounts.update_one({"_id": user_id}, _ending_sessions(at, kept=None))

    def note_ended_alone(self, user_id: str, until: datetime) -> None:
        """Have requests look, until then, whether their session was ended alone."""
        self._accounts.update_one({"_id": user_id}, {"$max": {"endedAloneUntil": until}})

    def change_password(self, user_id: str, old_hash: str, new_hash: str, *, kept_session: str, at: datetime) -> bool:
        """Change a password and end all sessions but one, at once. False where the password has been changed meanwhile."""
        change = _ending_sessions(at, kept=kept_session)
        change["$set"]["passwordHash"] = new_hash
        return bool(self._accounts.update_one({"_id": user_id, "passwordHash": old_hash}, change).matched_count)

    def set_role(self, user_id: str, role: Role) -> bool:
        return bool(self._accounts.update_one({"_id": user_id}, {"$set": {"role": role.value}}).matched_count)

    def ids_after(self, last_id: str, *, limit: int) -> list[str]:
        found = self._accounts.find({"_id": {"$gt": last_id}}, {"_id": 1}).sort("_id").limit(limit)
        return [doc["_id"] for doc in found]


def _ending_sessions(at: datetime, *, kept: str | None) -> Document:
    return {"$set": {"sessionsEndedAt": at, "keptSession": kept}, "$inc": {"sessionGeneration": 1}}


def _account(doc: Document) -> Account:
    return Account(
        id=doc["_id"],
        login=doc["login"],
        email=doc["email"],
        role=Role(doc["role"]),
        tokens=doc["tokens"],
        created_at=doc["createdAt"],
        disabled=doc.get("disabled", False),
        session_generation=doc.get("sessionGeneration", 0),
        kept_session=doc.get("keptSession"),
        sessions_ended_at=doc.get("sessionsEndedAt"),
        ended_alone_until=doc.get("endedAloneUntil"),
    )
