"""The `apiKeys` collection. Keys are kept as hashes: whoever reads the store cannot use them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.domain.api_key import USUAL_SCOPES, ApiKey, KeyTerms, OrderLimits, Scope
from app.stores.database import Database, Document, store


@store
class KeyStore:
    def __init__(self, database: Database) -> None:
        self._keys = database["apiKeys"]

    def insert(self, key: ApiKey, secret_hash: str) -> None:
        doc = {"_id": key.id, "name": key.name, "hash": secret_hash, "createdAt": key.created_at, "revokedAt": None}
        self._keys.insert_one(doc | _terms_document(key.terms))

    def get(self, key_id: str) -> tuple[ApiKey, str] | None:
        """Return a key with the hash of its secret."""
        doc = self._keys.find_one({"_id": key_id})
        return (_key(doc), doc["hash"]) if doc else None

    def of(self, key_ids: Sequence[str]) -> list[ApiKey]:
        return [_key(doc) for doc in self._keys.find({"_id": {"$in": list(key_ids)}})]

    def list(self) -> list[ApiKey]:
        return [_key(doc) for doc in self._keys.find({}).sort("_id")]

    def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key for good; False where there is none, or it was revoked before."""
        return bool(self._keys.update_one({"_id": key_id, "revokedAt": None}, {"$set": {"revokedAt": at}}).matched_count)

    def note_use(self, key_id: str, at: datetime, *, before: datetime) -> None:
        """Write down that a key was used, unless somebody has since `before`."""
        unnoted = [{"lastUsedAt": None}, {"lastUsedAt": {"$lte": before}}]
        self._keys.update_one({"_id": key_id, "$or": unnoted}, {"$set": {"lastUsedAt": at}})


def _terms_document(terms: KeyTerms) -> Document:
    return {
        "users": list(terms.users),
        "scopes": [scope.value for scope in terms.scopes],
        "models": list(terms.orders.models),
        "expiresAt": terms.expires_at,
        "ratePerMinute": terms.rate_per_minute,
        "maxMicrosPerOrder": terms.orders.max_micros,
        "ipRanges": list(terms.ip_ranges),
        "lastUsedAt": None,
    }


def _key(doc: Document) -> ApiKey:
    """Read a key; those made before keys had terms have none of the fields, and are as wide as they were."""
    terms = KeyTerms(
        users=tuple(doc.get("users", ())),
        scopes=tuple(Scope(scope) for scope in doc.get("scopes", USUAL_SCOPES)),
        expires_at=doc.get("expiresAt"),
        rate_per_minute=doc.get("ratePerMinute"),
        ip_ranges=tuple(doc.get("ipRanges", ())),
        orders=OrderLimits(models=tuple(doc.get("models", ())), max_micros=doc.get("maxMicrosPerOrder")),
    )
    return ApiKey(
        id=doc["_id"],
        name=doc["name"],
        created_at=doc["createdAt"],
        revoked_at=doc["revokedAt"],
        last_used_at=doc.get("lastUsedAt"),
        terms=terms,
    )
