"""Time and ids as the stores keep them. Pure code takes both as arguments; only services call these."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import uuid_utils.compat


def now() -> datetime:
    """Return the current time, aware UTC, cut to milliseconds: all that BSON keeps, so a record read back equals the one written."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def new_id() -> str:
    """Return a UUIDv7 string (RFC 9562): sorts by time."""
    return str(uuid_utils.compat.uuid7())


def is_id(text: str) -> bool:
    """Tell whether the text is a UUID in its usual spelling; anything else cannot name a record."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def rfc3339(moment: datetime) -> str:
    """Spell a time as RFC 3339 in UTC with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
