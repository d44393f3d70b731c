"""A picture that belongs to a user: brought along, or generated. Either can be the reference of a later generation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

REFERENCE_PREFIX = "upload:"


class Purpose(StrEnum):
    INPUT = "generation_input"
    OUTPUT = "generation_output"


@dataclass(frozen=True, kw_only=True)
class StoredPicture:
    """Where a picture is in the operator's own storage, and what its bytes are."""

    key: str
    content_type: str
    width: int
    height: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Upload(StoredPicture):
    id: str
    user_id: str
    purpose: Purpose
    created_at: datetime
    job_id: str | None = None
    file_name: str | None = None
    order_only: bool = False
    """It came along with an order, and was not brought by itself: it may go with the last job that uses it."""
