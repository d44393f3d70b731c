"""What a command answers when it cannot do what it was asked, in MongoDB's own codes."""

from enum import IntEnum
from typing import Any


class Code(IntEnum):
    """MongoDB's error codes by MongoDB's names. Its many nameless ones are plain numbers where they are raised."""

    BadValue = 2
    FailedToParse = 9
    TypeMismatch = 14
    IllegalOperation = 20
    NamespaceNotFound = 26
    IndexNotFound = 27
    PathNotViable = 28
    ConflictingUpdateOperators = 40
    CursorNotFound = 43
    NamespaceExists = 48
    DollarPrefixedFieldName = 52
    InvalidIdField = 53
    EmptyFieldName = 56
    CommandNotFound = 59
    ImmutableField = 66
    CannotCreateIndex = 67
    InvalidOptions = 72
    InvalidNamespace = 73
    IndexOptionsConflict = 85
    IndexKeySpecsConflict = 86
    CommandNotSupported = 115
    BSONObjectTooLarge = 10334
    DuplicateKey = 11000


class CommandError(Exception):
    """A refusal with MongoDB's code; `details` go into the answer beside it (`keyPattern`, `keyValue`)."""

    def __init__(self, message: str, code: int = Code.BadValue, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self._name = getattr(code, "name", f"Location{code}")
        self._body = {"code": int(code), "errmsg": message, **(details or {})}

    def as_reply(self) -> dict[str, Any]:
        """Return the whole answer of a failed command."""
        return {"ok": 0.0, "codeName": self._name, **self._body}

    def as_write_error(self, index: int) -> dict[str, Any]:
        """Return the entry of `writeErrors` for the operation at `index` of its command."""
        return {"index": index, **self._body}


def not_supported(feature: str) -> CommandError:
    """Return the error for what this server does not know: refused by name, never half done."""
    return CommandError(f"{feature} is not supported by the embedded server", Code.CommandNotSupported)
