"""From a command to its answer: one table, one place that commits and that turns failures into answers."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bson.errors import BSONError

from . import catalog, reads, writes
from .aggregating import aggregate
from .arguments import refuse_transactions
from .cursors import Cursors
from .engine import MAX_DOCUMENT_BYTES, Engine
from .errors import BAD_VALUE, COMMAND_NOT_FOUND, CommandError, not_supported
from .values import Document
from .wire import MAX_MESSAGE_BYTES

_VERSION = "7.0.0"
_MAX_WIRE_VERSION = 21  # MongoDB 7.0's: newer would promise the bulkWrite command.
_Command = Callable[[str, Document], Document]


class Commands:
    """All commands over one engine. Commands run one after the other, each whole: that is what makes them atomic."""

    def __init__(self, engine: Engine) -> None:
        self.cursors = Cursors()
        self._engine = engine
        self._started = time.monotonic()
        self._table = self._build_table()

    def run(self, arguments: Document, connection_id: int) -> Document:
        """Carry out one command and commit it. Raises OSError when the journal cannot be written."""
        name = next(iter(arguments))
        try:
            answer = self._dispatch(name, arguments, connection_id)
        except CommandError as exc:
            answer = exc.as_reply()
        except (BSONError, OverflowError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as exc:
            # What a malformed argument trips over deep inside: the command fails, the server goes on.
            answer = CommandError(f"{name} failed: {type(exc).__name__}: {exc}", BAD_VALUE).as_reply()
        self._engine.commit()
        return answer

    def _dispatch(self, name: str, arguments: Document, connection_id: int) -> Document:
        if name in {"hello", "isMaster", "ismaster"}:
            return _hello(name, connection_id)
        command = self._table.get(name)
        if command is None:
            if name == "explain":
                raise not_supported(name)
            raise CommandError(f"no such command: '{name}'", COMMAND_NOT_FOUND)
        refuse_transactions(arguments)
        database = arguments.get("$db")
        if not isinstance(database, str) or not database or set(database) & set('/\\. "$\0'):
            raise CommandError(f"Invalid database name: {database!r}", 73)
        return command(database, arguments)

    def _build_table(self) -> dict[str, _Command]:
        engine, cursors = self._engine, self.cursors
        return {
            "ping": lambda _db, _args: {"ok": 1.0},
            "endSessions": lambda _db, _args: {"ok": 1.0},
            "buildInfo": lambda _db, _args: _build_info(),
            "buildinfo": lambda _db, _args: _build_info(),
            "serverStatus": lambda _db, _args: self._status(),
            "insert": lambda db, args: writes.insert(engine, db, args),
            "update": lambda db, args: writes.update(engine, db, args),
            "delete": lambda db, args: writes.delete(engine, db, args),
            "findAndModify": lambda db, args: writes.find_and_modify(engine, db, args),
            "findandmodify": lambda db, args: writes.find_and_modify(engine, db, args),
            "find": lambda db, args: reads.find(engine, cursors, db, args),
            "getMore": lambda db, args: reads.get_more(cursors, db, args),
            "killCursors": lambda _db, args: reads.kill_cursors(cursors, args),
            "count": lambda db, args: reads.count(engine, db, args),
            "distinct": lambda db, args: reads.distinct(engine, db, args),
            "aggregate": lambda db, args: aggregate(engine, cursors, db, args),
            "create": lambda db, args: catalog.create(engine, db, args),
            "drop": lambda db, args: catalog.drop(engine, db, args),
            "dropDatabase": lambda db, args: catalog.drop_database(engine, db, args),
            "listCollections": lambda db, args: catalog.list_collections(engine, cursors, db, args),
            "listDatabases": lambda _db, args: catalog.list_databases(engine, args),
            "createIndexes": lambda db, args: catalog.create_indexes(engine, db, args),
            "listIndexes": lambda db, args: catalog.list_indexes(engine, cursors, db, args),
            "dropIndexes": lambda db, args: catalog.drop_indexes(engine, db, args),
            "deleteIndexes": lambda db, args: catalog.drop_indexes(engine, db, args),
        }

    def _status(self) -> Document:
        return {
            "host": "localhost",
            "version": f"{_VERSION}-embedded",
            "process": "embedded_mongo",
            "pid": os.getpid(),
            "uptime": time.monotonic() - self._started,
            "localTime": datetime.now(UTC),
            "metrics": {"cursor": {"open": {"total": len(self.cursors)}}},
            "ok": 1.0,
        }


def _hello(name: str, connection_id: int) -> Document:
    return {
        "isWritablePrimary" if name == "hello" else "ismaster": True,
        "helloOk": True,
        "maxBsonObjectSize": MAX_DOCUMENT_BYTES,
        "maxMessageSizeBytes": MAX_MESSAGE_BYTES,
        "maxWriteBatchSize": 100_000,
        "localTime": datetime.now(UTC),
        "logicalSessionTimeoutMinutes": 30,
        "connectionId": connection_id,
        "minWireVersion": 0,
        "maxWireVersion": _MAX_WIRE_VERSION,
        "readOnly": False,
        "ok": 1.0,
    }


def _build_info() -> Document:
    return {
        "version": _VERSION,
        "versionArray": [7, 0, 0, 0],
        "gitVersion": "embedded",
        "modules": [],
        "bits": 64,
        "debug": False,
        "maxBsonObjectSize": MAX_DOCUMENT_BYTES,
        "ok": 1.0,
    }
