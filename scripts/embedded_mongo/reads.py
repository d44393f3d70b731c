"""The commands that only read: find, getMore, killCursors, count, distinct."""

from .arguments import check_arguments, count_of, document_of, name_of
from .cursors import FIRST_BATCH, Cursors
from .engine import Engine
from .errors import CommandError
from .matching import compile_filter
from .projecting import compile_projection
from .selecting import select
from .values import MISSING, Document, Key, candidates, canonical

_FIND = {"find", "filter", "sort", "projection", "skip", "limit", "batchSize", "singleBatch", "noCursorTimeout"}


def find(engine: Engine, cursors: Cursors, database: str, arguments: Document) -> Document:
    check_arguments(arguments, _FIND)
    namespace = f"{database}.{name_of(arguments, 'find')}"
    query = document_of(arguments, "filter")
    compile_filter(query)
    show = compile_projection(document_of(arguments, "projection"))
    collection = engine.get(namespace)
    found: list[Document] = []
    if collection is not None:
        found = select(
            collection,
            query,
            sort=document_of(arguments, "sort"),
            skip=count_of(arguments, "skip"),
            limit=count_of(arguments, "limit") or None,
        )
    batch_size = count_of(arguments, "batchSize", FIRST_BATCH)
    return cursors.start(namespace, map(show, found), batch_size, single_batch=bool(arguments.get("singleBatch")))


def get_more(cursors: Cursors, database: str, arguments: Document) -> Document:
    check_arguments(arguments, {"getMore", "collection", "batchSize"})
    namespace = f"{database}.{name_of(arguments, 'collection')}"
    return cursors.more(int(arguments["getMore"]), namespace, count_of(arguments, "batchSize") or None)


def kill_cursors(cursors: Cursors, arguments: Document) -> Document:
    check_arguments(arguments, {"killCursors", "cursors"})
    numbers = arguments.get("cursors")
    if not isinstance(numbers, list):
        raise CommandError("killCursors needs an array of cursor ids")
    return cursors.kill(numbers)


def count(engine: Engine, database: str, arguments: Document) -> Document:
    check_arguments(arguments, {"count", "query", "limit", "skip", "fields"})
    query = document_of(arguments, "query")
    compile_filter(query)
    collection = engine.get(f"{database}.{name_of(arguments, 'count')}")
    if collection is None:
        return {"n": 0, "ok": 1.0}
    skip, limit = count_of(arguments, "skip"), count_of(arguments, "limit")
    if not query and not skip and not limit:
        return {"n": len(collection.documents), "ok": 1.0}
    return {"n": len(select(collection, query, skip=skip, limit=limit or None)), "ok": 1.0}


def distinct(engine: Engine, database: str, arguments: Document) -> Document:
    """Answer each value of a field once; the elements of an array count as values."""
    check_arguments(arguments, {"distinct", "key", "query"})
    key, query = arguments.get("key"), document_of(arguments, "query")
    if not isinstance(key, str) or not key:
        raise CommandError("distinct needs the name of a field")
    compile_filter(query)
    collection = engine.get(f"{database}.{name_of(arguments, 'distinct')}")
    values: dict[Key, object] = {}
    for document in select(collection, query) if collection is not None else []:
        for value in candidates(document, key.split(".")):
            for item in value if value.__class__ is list else [value]:
                if item is not MISSING:
                    values.setdefault(canonical(item), item)
    return {"values": list(values.values()), "ok": 1.0}
