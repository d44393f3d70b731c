"""From a command to its answer: its arguments are known or refused, its failures become answers, its effects are committed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson.errors import BSONError

from .errors import Code, CommandError, not_supported
from .storage import MAX_DOCUMENT_BYTES, Engine
from .values import Document

MAX_MESSAGE_BYTES = 48_000_000
_VERSION = [7, 0, 0, 0]
_MAX_WIRE_VERSION = 21  # MongoDB 7.0's: newer would promise the bulkWrite command.
_CHANGE_NOTHING = frozenset(
    {"$db", "$readPreference", "$clusterTime", "lsid", "readConcern", "writeConcern", "maxTimeMS", "comment"}
    | {"apiVersion", "apiStrict", "apiDeprecationErrors", "hint", "allowDiskUse", "bypassDocumentValidation"}
)
"""Arguments of every command: there is one node, one index choice and one durability."""


@dataclass(frozen=True)
class Command:
    """What carries a command out, given the engine, the collection's full name or the database's, and the arguments.

    `known` are the arguments it understands beside its own name.
    """

    run: Callable[[Engine, str, Document], Document]
    known: frozenset[str] | set[str] = frozenset()
    is_of_collection: bool = True


def run(engine: Engine, table: Mapping[str, Command], arguments: Document) -> Document:
    """Carry out one command, commit it and return its answer: each is whole before the next, that is what makes them atomic.

    Raises OSError when the journal cannot be written.
    """
    name = next(iter(arguments))
    try:
        answer = {**_dispatch(engine, table.get(name), name, arguments), "ok": 1.0}
    except CommandError as exc:
        answer = exc.as_reply()
    except (BSONError, OverflowError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as exc:
        # What a malformed argument trips over deep inside: the command fails, the server goes on.
        answer = CommandError(f"{name} failed: {type(exc).__name__}: {exc}").as_reply()
    engine.commit()
    return answer


def _dispatch(engine: Engine, command: Command | None, name: str, arguments: Document) -> Document:
    if command is None:
        if name == "explain":
            raise not_supported(name)
        raise CommandError(f"no such command: '{name}'", Code.CommandNotFound)
    if name not in _HELLOS:
        _refuse_transactions(arguments)
        check_arguments(arguments, command.known | {name})
    target = arguments.get("$db", "admin")
    if not isinstance(target, str) or not target or set(target) & set('/\\. "$\0'):
        raise CommandError(f"Invalid database name: {target!r}", Code.InvalidNamespace)
    if command.is_of_collection:
        collection = arguments[name]
        if not isinstance(collection, str) or not collection or "\0" in collection or collection.startswith("$"):
            raise CommandError(f"Invalid collection name: {collection!r}", Code.InvalidNamespace)
        target = f"{target}.{collection}"
    return command.run(engine, target, arguments)


def check_arguments(arguments: Document, known: frozenset[str] | set[str]) -> None:
    """Refuse an argument outside `known`, unless it is empty or changes nothing. Raises CommandError."""
    for name, value in arguments.items():
        if name not in known and name not in _CHANGE_NOTHING and value not in (None, False, [], {}):
            raise not_supported(f"the argument {name}")


def _refuse_transactions(arguments: Document) -> None:
    if "txnNumber" in arguments or "startTransaction" in arguments or "autocommit" in arguments:
        raise CommandError(
            "Transaction numbers are only allowed on a replica set member or mongos; transactions are not supported by the embedded server",
            Code.IllegalOperation,
        )


def documents_of(arguments: Document, name: str) -> list[Document]:
    """Return a non-empty list of documents."""
    value = arguments.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise CommandError(f"BSON field '{name}' must be a non-empty array of objects", Code.TypeMismatch)
    return value


def document_of(arguments: Document, name: str) -> Document:
    """Return a document argument, empty when it is not given."""
    value = arguments.get(name)
    if value is not None and not isinstance(value, dict):
        raise CommandError(f"BSON field '{name}' is the wrong type, expected an object", Code.TypeMismatch)
    return value or {}


def count_of(arguments: Document, name: str, default: int = 0) -> int:
    """Return a non-negative whole number, `default` when it is not given."""
    value: Any = arguments.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise CommandError(f"BSON field '{name}' must be a non-negative whole number, found {value!r}")
    return int(value)


def _hello(_engine: Engine, _database: str, arguments: Document) -> Document:
    limits = {"maxBsonObjectSize": MAX_DOCUMENT_BYTES, "maxMessageSizeBytes": MAX_MESSAGE_BYTES, "maxWriteBatchSize": 100_000}
    name = "ismaster" if "ismaster" in arguments else "isWritablePrimary"
    versions = {"minWireVersion": 0, "maxWireVersion": _MAX_WIRE_VERSION, "logicalSessionTimeoutMinutes": 30}
    return {name: True, "helloOk": True, "localTime": datetime.now(UTC), "readOnly": False, **limits, **versions}


def _build_info(_engine: Engine, _database: str, _arguments: Document) -> Document:
    version = ".".join(map(str, _VERSION[:3]))
    return {"version": version, "versionArray": _VERSION, "gitVersion": "embedded", "bits": 64, "maxBsonObjectSize": MAX_DOCUMENT_BYTES}


def _nothing(_engine: Engine, _database: str, _arguments: Document) -> Document:
    return {}


_HELLOS = ("hello", "isMaster", "ismaster")
COMMANDS = {
    **dict.fromkeys(_HELLOS, Command(_hello, is_of_collection=False)),
    **dict.fromkeys(("buildInfo", "buildinfo"), Command(_build_info, is_of_collection=False)),
    **dict.fromkeys(("ping", "endSessions"), Command(_nothing, is_of_collection=False)),
}
