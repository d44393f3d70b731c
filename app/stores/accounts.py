"""Who may call: the `accounts` of users, the `apiKeys` of scripts, and the `endedSessions` that were ended before their time.

Users' tokens are changed in `ledger.py` only. Keys are kept as hashes: whoever reads the store cannot use them. MongoDB removes an ended
session once its token has expired.
"""

from __future__ import annotations

import builtins
import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.domain.account import Account, Role, Session, UserFilter, UserPlace, UserSort
from app.domain.api_key import ApiKey, KeyTerms, OrderLimits
from app.domain.clock import rfc3339
from app.domain.credentials import login_of, plain_login_of
from app.domain.errors import EmailTaken, StoreUnavailable
from app.domain.ledger import Entry
from app.stores.database import Database, Document, store
from app.stores.ledger import LedgerStore, entry_document
from app.stores.records import document_of, record_of

#: By which field accounts may be sorted, and which way; each has its index.
SORTS = {
    UserSort.NEWEST: ("createdAt", DESCENDING),
    UserSort.ADDRESS: ("login", ASCENDING),
    UserSort.BALANCE: ("tokens", DESCENDING),
}
#: All but what is long, or secret.
SHOWN = dict.fromkeys(("outbox", "passwordHash", "topups", "holds"), 0)
MAX_TRIES = 30
#: Keys of one name that are looked at.
MAX_NAMESAKES = 100


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
        return record_of(Account, doc) if doc else None

    def by_login(self, login: str) -> tuple[Account, str | None] | None:
        """Return the account of a login with its password hash."""
        doc = self._accounts.find_one({"login": login})
        return (record_of(Account, doc), doc["passwordHash"]) if doc else None

    def by_address(self, email: str) -> tuple[Account, str | None] | None:
        """Return the account of an address with its password hash, also one whose login is older than normal addresses."""
        login, plain = login_of(email), plain_login_of(email)
        return self.by_login(login) or (self.by_login(plain) if plain != login else None)

    def of(self, user_ids: Sequence[str]) -> list[Account]:
        """Return the accounts there are of these ids, in no order."""
        found = self._accounts.find({"_id": {"$in": list(user_ids)}}, {"outbox": 0, "passwordHash": 0})
        return [record_of(Account, doc) for doc in found]

    def page(self, wanted: UserFilter, *, after: UserPlace | None, limit: int) -> list[Account]:
        """Return up to `limit` accounts behind a place, by one of SORTS."""
        name, way = SORTS[wanted.sort]
        conditions: list[Document] = []
        if wanted.text is not None:
            conditions.append({"$or": [{"email": {"$regex": "(?i)" + re.escape(wanted.text)}}, {"_id": wanted.text}]})
        if wanted.role is not None:
            conditions.append({"role": wanted.role.value})
        if wanted.disabled is not None:
            conditions.append({"disabled": True} if wanted.disabled else {"disabled": {"$ne": True}})
        if after is not None:
            value, beyond = _value(name, after.value), "$gt" if way == ASCENDING else "$lt"
            conditions.append({"$or": [{name: {beyond: value}}, {name: value, "_id": {beyond: after.id}}]})
        query = {"$and": conditions} if conditions else {}
        found = self._accounts.find(query, SHOWN).sort([(name, way), ("_id", way)]).limit(limit)
        return [record_of(Account, doc) for doc in found]

    def change(self, user_id: str, *, role: Role | None, disabled: bool | None) -> Account | None:
        """Set what is not None, together; return the account as it is now, or None where there is none."""
        named = {"role": role and role.value, "disabled": disabled}
        wanted = {name: value for name, value in named.items() if value is not None}
        if not wanted:
            return self.get(user_id)
        shown = {"outbox": 0, "passwordHash": 0}
        change, after = {"$set": wanted}, ReturnDocument.AFTER
        doc = self._accounts.find_one_and_update({"_id": user_id}, change, projection=shown, return_document=after)
        return record_of(Account, doc) if doc else None

    def has_administrator_beside(self, user_id: str) -> bool:
        """Tell whether somebody else is an administrator who can sign in."""
        query = {"role": Role.ADMIN.value, "_id": {"$ne": user_id}, "disabled": {"$ne": True}}
        return self._accounts.find_one(query, {"_id": 1}) is not None

    def depart(self, user_id: str, at: datetime, *, kept_session: str | None) -> None:
        """Begin to delete an account: no token moves any more, and all its sessions end but one. Repeating it changes nothing."""
        change = _ending_sessions(at, kept=kept_session)
        change["$set"]["departing"] = True
        self._accounts.update_one({"_id": user_id, "departing": {"$ne": True}}, change)

    def rename(self, user_id: str, name: str) -> bool:
        """Put an account without a login in the place of a departing one, with its tokens and nothing else of it.

        False where something is still held in it, or not in the ledger yet. Repeatable.
        """
        settled: Document = {"_id": user_id, "departing": True, "holds": {}, "outbox": []}
        doc = self._accounts.find_one(settled)
        if doc is None:
            return self._accounts.find_one({"_id": user_id}, {"_id": 1}) is None
        empty: Document = {
            "email": None,
            "passwordHash": None,
            "role": Role.USER.value,
            "disabled": True,
            "holds": {},
            "outbox": [],
            "topups": [],
        }
        kept = {"login": f"former:{name}", "tokens": doc["tokens"], "createdAt": doc["createdAt"]}
        self._accounts.update_one({"_id": name}, {"$setOnInsert": {**empty, **kept}}, upsert=True)
        return bool(self._accounts.delete_one(settled).deleted_count)

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

    def ids_after(self, last_id: str, *, limit: int) -> list[str]:
        """Return accounts by ascending id; a departing one is on its way to another name."""
        found = self._accounts.find({"_id": {"$gt": last_id}, "departing": {"$ne": True}}, {"_id": 1}).sort("_id").limit(limit)
        return [doc["_id"] for doc in found]


def place_of(account: Account, sort: UserSort) -> UserPlace:
    """Return where an account stands in a sort."""
    values: dict[str, str | int] = {"createdAt": rfc3339(account.created_at), "login": account.login, "tokens": account.tokens}
    return UserPlace(values[SORTS[sort][0]], account.id)


def _value(name: str, said: str | int) -> object:
    return datetime.fromisoformat(str(said)) if name == "createdAt" else said


def _ending_sessions(at: datetime, *, kept: str | None) -> Document:
    return {"$set": {"sessionsEndedAt": at, "keptSession": kept}, "$inc": {"sessionGeneration": 1}}


#: Stands in a revoked key for a user whose data were deleted.
NOBODY = "former"


@store
class KeyStore:
    def __init__(self, database: Database) -> None:
        self._keys = database["apiKeys"]

    def insert(self, key: ApiKey, secret_hash: str) -> None:
        self._keys.insert_one({**_key_document(key), "hash": secret_hash})

    def get(self, key_id: str) -> tuple[ApiKey, str] | None:
        """Return a key with the hash of its secret."""
        doc = self._keys.find_one({"_id": key_id})
        return (_key(doc), doc["hash"]) if doc else None

    def of(self, key_ids: Sequence[str]) -> list[ApiKey]:
        return [_key(doc) for doc in self._keys.find({"_id": {"$in": list(key_ids)}})]

    def list(self) -> list[ApiKey]:
        return [_key(doc) for doc in self._keys.find({}).sort("_id")]

    def named(self, name: str) -> builtins.list[ApiKey]:
        """Return the keys of a name; it need not be unique."""
        return [_key(doc) for doc in self._keys.find({"name": name}).sort("_id").limit(MAX_NAMESAKES)]

    def release_user(self, user_id: str, at: datetime) -> None:
        """Revoke the keys that act for this user only, and take it from those of others. Repeatable."""
        self._keys.update_many({"users": [user_id], "revokedAt": None}, {"$set": {"revokedAt": at}})
        self._keys.update_many({"users": [user_id]}, {"$set": {"users": [NOBODY]}})
        # Never the last one: a key without users acts for everybody.
        self._keys.update_many({"users": user_id, "users.1": {"$exists": True}}, {"$pull": {"users": user_id}})

    def change(self, key_id: str, evolve: Callable[[ApiKey], ApiKey]) -> tuple[ApiKey, ApiKey] | None:
        """Change what limits a key; return it as it was and as it is. None for one that is not there, or revoked.

        Only what differs is written, unless somebody has changed the same meanwhile: of two changes at once both are made.
        """
        for _ in range(MAX_TRIES):
            doc = self._keys.find_one({"_id": key_id, "revokedAt": None})
            if doc is None:
                return None
            before, after = _key(doc), evolve(_key(doc))
            old, new = _key_document(before), _key_document(after)
            changes = {name: value for name, value in new.items() if value != old[name]}
            unchanged = {name: doc.get(name) for name in changes}
            if not changes or self._keys.update_one({"_id": key_id, "revokedAt": None, **unchanged}, {"$set": changes}).matched_count:
                return before, after
        raise StoreUnavailable("The key changes too fast to be changed; try again")

    def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key for good; False where there is none, or it was revoked before."""
        return bool(self._keys.update_one({"_id": key_id, "revokedAt": None}, {"$set": {"revokedAt": at}}).matched_count)

    def note_use(self, key_id: str, at: datetime, *, before: datetime) -> None:
        """Write down that a key was used, unless somebody has since `before`."""
        unnoted = [{"lastUsedAt": None}, {"lastUsedAt": {"$lte": before}}]
        self._keys.update_one({"_id": key_id, "$or": unnoted}, {"$set": {"lastUsedAt": at}})


def _key_document(key: ApiKey) -> Document:
    """Return a key's document, in which its terms stand beside its name."""
    terms, orders = document_of(key.terms), key.terms.orders
    del terms["orders"]
    doc = document_of(key)
    del doc["terms"]
    return {**doc, **terms, "models": orders.models, "maxMicrosPerOrder": orders.max_micros}


def _key(doc: Document) -> ApiKey:
    """Read a key; those made before keys had terms have none of the fields, and are as wide as they were."""
    orders = OrderLimits(models=tuple(doc.get("models", ())), max_micros=doc.get("maxMicrosPerOrder"))
    return replace(record_of(ApiKey, doc), terms=replace(record_of(KeyTerms, doc), orders=orders))


@store
class EndedSessionStore:
    def __init__(self, database: Database) -> None:
        self._ended = database["endedSessions"]

    def add(self, session: Session, at: datetime) -> None:
        """End a session for good. Repeatable."""
        fields = {"userId": session.user_id, "endedAt": at, "expiresAt": session.expires_at}
        self._ended.update_one({"_id": session.id}, {"$setOnInsert": fields}, upsert=True)

    def forget_user(self, user_id: str) -> None:
        """Forget which sessions of a user were ended alone: without its account none is good."""
        self._ended.delete_many({"userId": user_id})

    def has(self, session_id: str) -> bool:
        return self._ended.find_one({"_id": session_id}, {"_id": 1}) is not None

    def among(self, session_ids: Sequence[str]) -> set[str]:
        """Return those that have ended."""
        return {doc["_id"] for doc in self._ended.find({"_id": {"$in": list(session_ids)}}, {"_id": 1})}
