"""The arguments of commands: what is known is checked, what is not is refused by name."""

from typing import Any

from .errors import ILLEGAL_OPERATION, TYPE_MISMATCH, UNKNOWN_FIELD, CommandError, not_supported
from .values import Document

_IGNORED = frozenset(
    {"$db", "$readPreference", "$clusterTime", "lsid", "readConcern", "writeConcern", "maxTimeMS", "comment"}
    | {"apiVersion", "apiStrict", "apiDeprecationErrors", "hint", "allowDiskUse", "bypassDocumentValidation"}
)
"""Arguments that change nothing here: there is one node, one index choice and one durability."""

_FEATURES = {
    "arrayFilters": "arrayFilters",
    "let": "let",
    "collation": "a collation",
    "tailable": "a tailable cursor",
    "awaitData": "a tailable cursor",
    "explain": "explain",
    "min": "min",
    "max": "max",
    "returnKey": "returnKey",
    "showRecordId": "showRecordId",
    "c": "constants in an update",
    "capped": "a capped collection",
    "validator": "a validator",
    "timeseries": "a time series collection",
    "viewOn": "a view",
}


def check_arguments(arguments: Document, known: set[str]) -> None:
    """Refuse an argument outside `known`, unless it is empty or changes nothing. Raises CommandError.

    The first name is the command itself, or none of the arguments of a single update or delete.
    """
    for name, value in arguments.items():
        if name in known or name in _IGNORED or value in (None, False, [], {}):
            continue
        if name == "collation" and value == {"locale": "simple"}:
            continue
        if name in _FEATURES:
            raise not_supported(_FEATURES[name])
        raise CommandError(f"BSON field '{name}' is an unknown field", UNKNOWN_FIELD)


def refuse_transactions(arguments: Document) -> None:
    if "txnNumber" in arguments or "startTransaction" in arguments or "autocommit" in arguments:
        raise CommandError(
            "Transaction numbers are only allowed on a replica set member or mongos; transactions are not supported by the embedded server",
            ILLEGAL_OPERATION,
        )


def documents_of(arguments: Document, name: str) -> list[Document]:
    """Return a non-empty list of documents."""
    value = arguments.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise CommandError(f"BSON field '{name}' must be a non-empty array of objects", TYPE_MISMATCH)
    return value


def document_of(arguments: Document, name: str) -> Document:
    """Return a document argument, empty when it is not given."""
    value = arguments.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandError(f"BSON field '{name}' is the wrong type, expected an object", TYPE_MISMATCH)
    return value


def count_of(arguments: Document, name: str, default: int = 0) -> int:
    """Return a non-negative whole number, `default` when it is not given."""
    value: Any = arguments.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise CommandError(f"BSON field '{name}' must be a non-negative whole number, found {value!r}")
    return int(value)


def name_of(arguments: Document, name: str) -> str:
    """Return a collection's name."""
    value = arguments.get(name)
    if not isinstance(value, str) or not value or "\0" in value or value.startswith("$"):
        raise CommandError(f"Invalid collection name: {value!r}", 73)
    return value
