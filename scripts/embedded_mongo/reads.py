"""The commands that only read: find, aggregate, count, distinct, and those about cursors."""

from collections.abc import Callable
from typing import Any

from .commands import Command, count_of, document_of
from .cursors import FIRST_BATCH
from .errors import CommandError, not_supported
from .filters import compile_filter
from .queries import compile_projection, group, select
from .storage import Engine
from .values import MISSING, Document, Key, candidates, canonical


def find(engine: Engine, namespace: str, arguments: Document) -> Document:
    show = compile_projection(document_of(arguments, "projection"))
    found = select(
        engine.collections.get(namespace),
        document_of(arguments, "filter"),
        sort=document_of(arguments, "sort"),
        skip=count_of(arguments, "skip"),
        limit=count_of(arguments, "limit"),
    )
    batch_size = count_of(arguments, "batchSize", FIRST_BATCH)
    return engine.cursors.start(namespace, map(show, found), batch_size, single_batch=bool(arguments.get("singleBatch")))


def get_more(engine: Engine, database: str, arguments: Document) -> Document:
    namespace = f"{database}.{arguments['collection']}"
    return engine.cursors.more(int(arguments["getMore"]), namespace, count_of(arguments, "batchSize"))


def kill_cursors(engine: Engine, _namespace: str, arguments: Document) -> Document:
    numbers = arguments.get("cursors")
    if not isinstance(numbers, list):
        raise CommandError("killCursors needs an array of cursor ids")
    return engine.cursors.kill(numbers)


def count(engine: Engine, namespace: str, arguments: Document) -> Document:
    collection, query = engine.collections.get(namespace), document_of(arguments, "query")
    skip, limit = count_of(arguments, "skip"), count_of(arguments, "limit")
    if collection is not None and not query and not skip and not limit:
        return {"n": len(collection.documents)}
    return {"n": len(select(collection, query, skip=skip, limit=limit))}


def distinct(engine: Engine, namespace: str, arguments: Document) -> Document:
    """Answer each value of a field once; the elements of an array count as values."""
    key = arguments.get("key")
    if not isinstance(key, str) or not key:
        raise CommandError("distinct needs the name of a field")
    values: dict[Key, object] = {}
    for document in select(engine.collections.get(namespace), document_of(arguments, "query")):
        for value in candidates(document, key.split(".")):
            for item in value if value.__class__ is list else [value]:
                if item is not MISSING:
                    values.setdefault(canonical(item), item)
    return {"values": list(values.values())}


def aggregate(engine: Engine, namespace: str, arguments: Document) -> Document:
    """Run the stages whose results agree with MongoDB's; any other is refused by name before the first one runs."""
    pipeline = arguments.get("pipeline")
    if not isinstance(pipeline, list) or not all(isinstance(stage, dict) and len(stage) == 1 for stage in pipeline):
        raise CommandError("A pipeline is an array of stages, each an object with one field", 40323)
    stages = [next(iter(stage.items())) for stage in pipeline]
    for name, argument in stages:
        if name not in _STAGES:
            raise not_supported(f"the aggregation stage {name}")
        if name in {"$skip", "$limit"} and (isinstance(argument, bool) or not isinstance(argument, int | float)):
            raise CommandError(f"invalid argument to {name}: expected a number", 5107201)
    batch_size = count_of(document_of(arguments, "cursor"), "batchSize", FIRST_BATCH)
    # A match that comes first is looked up in an index.
    first = stages.pop(0)[1] if stages and stages[0][0] == "$match" else {}
    documents = select(engine.collections.get(namespace), first)
    for name, argument in stages:
        documents = _STAGES[name](documents, argument)
    return engine.cursors.start(namespace, documents, batch_size)


_STAGES: dict[str, Callable[[list[Document], Any], list[Document]]] = {
    "$match": lambda documents, query: list(filter(compile_filter(query), documents)),
    "$skip": lambda documents, number: documents[int(number) :],
    "$limit": lambda documents, number: documents[: int(number)],
    "$group": group,
}
_FIND = {"filter", "sort", "projection", "skip", "limit", "batchSize", "singleBatch", "noCursorTimeout"}

COMMANDS = {
    "find": Command(find, _FIND),
    "getMore": Command(get_more, {"collection", "batchSize"}, is_of_collection=False),
    "killCursors": Command(kill_cursors, {"cursors"}),
    "count": Command(count, {"query", "limit", "skip", "fields"}),
    "distinct": Command(distinct, {"key", "query"}),
    "aggregate": Command(aggregate, {"pipeline", "cursor"}),
}
