"""What a command answers when it cannot do what it was asked, in MongoDB's own codes."""

from typing import Any

BAD_VALUE = 2
FAILED_TO_PARSE = 9
TYPE_MISMATCH = 14
ILLEGAL_OPERATION = 20
NAMESPACE_NOT_FOUND = 26
INDEX_NOT_FOUND = 27
PATH_NOT_VIABLE = 28
CONFLICTING_UPDATE_OPERATORS = 40
CURSOR_NOT_FOUND = 43
NAMESPACE_EXISTS = 48
COMMAND_NOT_FOUND = 59
IMMUTABLE_FIELD = 66
CANNOT_CREATE_INDEX = 67
INDEX_OPTIONS_CONFLICT = 85
INDEX_KEY_SPECS_CONFLICT = 86
COMMAND_NOT_SUPPORTED = 115
OBJECT_TOO_LARGE = 10334
DUPLICATE_KEY = 11000
UNKNOWN_FIELD = 40415

_NAMES = {
    1: "InternalError",
    BAD_VALUE: "BadValue",
    FAILED_TO_PARSE: "FailedToParse",
    TYPE_MISMATCH: "TypeMismatch",
    ILLEGAL_OPERATION: "IllegalOperation",
    NAMESPACE_NOT_FOUND: "NamespaceNotFound",
    INDEX_NOT_FOUND: "IndexNotFound",
    PATH_NOT_VIABLE: "PathNotViable",
    CONFLICTING_UPDATE_OPERATORS: "ConflictingUpdateOperators",
    CURSOR_NOT_FOUND: "CursorNotFound",
    NAMESPACE_EXISTS: "NamespaceExists",
    COMMAND_NOT_FOUND: "CommandNotFound",
    IMMUTABLE_FIELD: "ImmutableField",
    CANNOT_CREATE_INDEX: "CannotCreateIndex",
    INDEX_OPTIONS_CONFLICT: "IndexOptionsConflict",
    INDEX_KEY_SPECS_CONFLICT: "IndexKeySpecsConflict",
    COMMAND_NOT_SUPPORTED: "CommandNotSupported",
    OBJECT_TOO_LARGE: "BSONObjectTooLarge",
    DUPLICATE_KEY: "DuplicateKey",
    UNKNOWN_FIELD: "Location40415",
}


class CommandError(Exception):
    """A refusal with MongoDB's code; `details` go into the answer beside it (`keyPattern`, `keyValue`)."""

    def __init__(self, message: str, code: int = BAD_VALUE, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details = details or {}

    def as_reply(self) -> dict[str, Any]:
        """Return the whole answer of a failed command."""
        return {"ok": 0.0, "errmsg": self.message, "code": self.code, "codeName": self.code_name, **self.details}

    def as_write_error(self, index: int) -> dict[str, Any]:
        """Return the entry of `writeErrors` for the operation at `index` of its command."""
        return {"index": index, "code": self.code, "errmsg": self.message, **self.details}

    @property
    def code_name(self) -> str:
        return _NAMES.get(self.code, f"Location{self.code}")


def not_supported(feature: str) -> CommandError:
    """Return the error for a feature MongoDB has and this server lacks: refused by name, never half done."""
    return CommandError(f"{feature} is not supported by the embedded server", COMMAND_NOT_SUPPORTED)
