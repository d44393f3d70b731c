"""The `accounts` collection: who users are. Their tokens are changed in `ledger.py` only."""

from __future__ import annotations

import contextlib

from pymongo.errors import DuplicateKeyError

from app.account import Account, Entry, Role
from app.errors import EmailTaken, StoreUnavailable
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

    def set_role(self, user_id: str, role: Role) -> bool:
        return bool(self._accounts.update_one({"_id": user_id}, {"$set": {"role": role.value}}).matched_count)

    def ids_after(self, last_id: str, *, limit: int) -> list[str]:
        found = self._accounts.find({"_id": {"$gt": last_id}}, {"_id": 1}).sort("_id").limit(limit)
        return [doc["_id"] for doc in found]


def _account(doc: Document) -> Account:
    return Account(
        id=doc["_id"],
        login=doc["login"],
        email=doc["email"],
        role=Role(doc["role"]),
        tokens=doc["tokens"],
        created_at=doc["createdAt"],
    )
