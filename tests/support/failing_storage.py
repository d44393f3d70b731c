"""A storage that fails when told to."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from app.clients.storage import LocalStorage
from app.domain.errors import StorageUnavailable


class FailingStorage(LocalStorage):
    """A folder that stops working when told to; what it stored before it failed is there all the same."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "http://localhost/files")
        self.put_fails = False
        self.delete_fails = False
        self.puts = 0

    def put(self, key: str, body: IO[bytes], content_type: str) -> None:
        super().put(key, body, content_type)
        self.puts += 1
        if self.put_fails:
            raise StorageUnavailable("the answer was lost")

    def delete(self, key: str) -> None:
        if self.delete_fails:
            raise StorageUnavailable("no answer")
        super().delete(key)

    @property
    def objects(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file()]
