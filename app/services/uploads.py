"""Pictures people bring along: checked by their bytes, stored once per user and content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from app import clock, keys
from app.clients.storage import Storage
from app.errors import NotAnImage, NotFound, TooLarge
from app.pictures import PictureFacts, inspect
from app.stores.uploads import UploadStore
from app.upload import Purpose, Upload

MAX_UPLOAD_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class SideLimits:
    """How many pixels a side may have, both ends included."""

    low: int
    high: int

    def check(self, facts: PictureFacts) -> None:
        if not all(self.low <= side <= self.high for side in (facts.width, facts.height)):
            raise NotAnImage(
                f"The image is {facts.width}x{facts.height} pixels; it must be from {self.low}x{self.low} to {self.high}x{self.high} pixels"
            )


ANY_SIDE = SideLimits(1, 14142)


class Uploads:
    def __init__(self, *, store: UploadStore, storage: Storage, now: Callable[[], datetime] = clock.now) -> None:
        self._store = store
        self._storage = storage
        self._now = now

    def keep(self, user_id: str, file: IO[bytes], *, sides: SideLimits, file_name: str | None = None) -> Upload:
        """Check and store a picture; the same bytes again give the same upload. Raises NotAnImage or TooLarge, and stores nothing then."""
        facts = inspect(file)
        if facts.size_bytes > MAX_UPLOAD_BYTES:
            raise TooLarge("The image is larger than 10MB")
        sides.check(facts)
        if known := self._store.same_content(user_id, facts.sha256):
            return known
        upload = Upload(
            id=clock.new_id(),
            user_id=user_id,
            purpose=Purpose.INPUT,
            key=keys.uploaded_image(user_id, facts.sha256, facts.extension),
            content_type=facts.content_type,
            width=facts.width,
            height=facts.height,
            size_bytes=facts.size_bytes,
            sha256=facts.sha256,
            created_at=self._now(),
            file_name=file_name,
        )
        self._storage.put(upload.key, file, facts.content_type)
        self._store.insert(upload)
        return upload

    def get(self, upload_id: str, *, user_id: str) -> Upload:
        """Return the user's own upload. Raises NotFound, for somebody else's too."""
        upload = self._store.get(upload_id, user_id=user_id) if clock.is_id(upload_id) else None
        if upload is None:
            raise NotFound("No such upload")
        return upload
