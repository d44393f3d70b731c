"""The `uploads` collection."""

from __future__ import annotations

from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from app.stores.database import Database, Document, store
from app.upload import Purpose, Upload


@store
class UploadStore:
    def __init__(self, database: Database) -> None:
        self._uploads = database["uploads"]

    def insert(self, upload: Upload) -> None:
        """Write an upload; repeating it changes nothing."""
        try:
            self._uploads.insert_one(_document(upload))
        except DuplicateKeyError:
            return

    def get(self, upload_id: str, *, user_id: str) -> Upload | None:
        """Return the user's own upload; somebody else's does not exist."""
        doc = self._uploads.find_one({"_id": upload_id, "userId": user_id})
        return _upload(doc) if doc else None

    def same_content(self, user_id: str, sha256: str) -> Upload | None:
        """Return the user's earlier input of the same bytes."""
        doc = self._uploads.find_one({"userId": user_id, "sha256": sha256, "purpose": Purpose.INPUT.value})
        return _upload(doc) if doc else None

    def page(self, user_id: str, *, purpose: Purpose | None, before_id: str | None, limit: int) -> list[Upload]:
        query: dict[str, Any] = {"userId": user_id}
        if purpose:
            query["purpose"] = purpose.value
        if before_id:
            query["_id"] = {"$lt": before_id}
        return [_upload(doc) for doc in self._uploads.find(query).sort("_id", DESCENDING).limit(limit)]

    def remove(self, upload_id: str, *, user_id: str) -> Upload | None:
        """Remove and return the user's own upload, or None."""
        doc = self._uploads.find_one_and_delete({"_id": upload_id, "userId": user_id})
        return _upload(doc) if doc else None


def _document(upload: Upload) -> Document:
    return {
        "_id": upload.id,
        "userId": upload.user_id,
        "purpose": upload.purpose.value,
        "key": upload.key,
        "contentType": upload.content_type,
        "width": upload.width,
        "height": upload.height,
        "sizeBytes": upload.size_bytes,
        "sha256": upload.sha256,
        "createdAt": upload.created_at,
        "jobId": upload.job_id,
        "fileName": upload.file_name,
    }


def _upload(doc: Document) -> Upload:
    return Upload(
        id=doc["_id"],
        user_id=doc["userId"],
        purpose=Purpose(doc["purpose"]),
        key=doc["key"],
        content_type=doc["contentType"],
        width=doc["width"],
        height=doc["height"],
        size_bytes=doc["sizeBytes"],
        sha256=doc["sha256"],
        created_at=doc["createdAt"],
        job_id=doc["jobId"],
        file_name=doc["fileName"],
    )
