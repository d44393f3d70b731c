"""The `apiKeys` collection. Keys are kept as hashes: whoever reads the store cannot use them."""

from __future__ import annotations

from datetime import datetime

from app.account import ApiKey
from app.stores.database import Database, Document, store


@store
class KeyStore:
    def __init__(self, database: Database) -> None:
        self._keys = database["apiKeys"]

    def insert(self, key: ApiKey, secret_hash: str) -> None:
        self._keys.insert_one({"_id": key.id, "name": key.name, "hash": secret_hash, "createdAt": key.created_at, "revokedAt": None})

    def get(self, key_id: str) -> tuple[ApiKey, str] | None:
        """Return a key with the hash of its secret."""
        doc = self._keys.find_one({"_id": key_id})
        return (_key(doc), doc["hash"]) if doc else None

    def list(self) -> list[ApiKey]:
        return [_key(doc) for doc in self._keys.find({}).sort("_id")]

    def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key for good; False where there is none, or it was revoked before."""
        return bool(self._keys.update_one({"_id": key_id, "revokedAt": None}, {"$set": {"revokedAt": at}}).matched_count)


def _key(doc: Document) -> ApiKey:
    return ApiKey(id=doc["_id"], name=doc["name"], created_at=doc["createdAt"], revoked_at=doc["revokedAt"])
