"""The aggregate command: the stages this server knows itself, the rest by mongomock, which gets copies.

Only stages whose results agree with MongoDB's are let through; any other is refused by name.
"""

from collections.abc import Callable, Iterable
from typing import Any

import bson
from mongomock.aggregate import process_pipeline

from .arguments import check_arguments, count_of, document_of, name_of
from .cursors import FIRST_BATCH, Cursors
from .engine import Engine
from .errors import CommandError, not_supported
from .grouping import group
from .journal import CODEC
from .matching import compile_filter
from .selecting import parse_sort, select, sort_documents
from .values import Document

_mongomock_pipeline: Callable[..., Iterable[Document]] = process_pipeline
_BY_MONGOMOCK = frozenset({"$project", "$addFields", "$set", "$unwind", "$replaceRoot"})


def aggregate(engine: Engine, cursors: Cursors, database: str, arguments: Document) -> Document:
    check_arguments(arguments, {"aggregate", "pipeline", "cursor"})
    namespace = f"{database}.{name_of(arguments, 'aggregate')}"
    pipeline = arguments.get("pipeline")
    if not isinstance(pipeline, list) or not all(isinstance(stage, dict) and len(stage) == 1 for stage in pipeline):
        raise CommandError("A pipeline is an array of stages, each an object with one field", 40323)
    for stage in pipeline:
        _check_stage(*next(iter(stage.items())))
    batch_size = count_of(document_of(arguments, "cursor"), "batchSize", FIRST_BATCH)
    first: Any = {}
    if pipeline and "$match" in pipeline[0]:
        first, pipeline = pipeline[0]["$match"], pipeline[1:]
        compile_filter(first)
    collection = engine.get(namespace)
    documents = select(collection, first) if collection is not None else []
    for stage in pipeline:
        documents = _run(documents, *next(iter(stage.items())))
    return cursors.start(namespace, documents, batch_size)


def _check_stage(name: str, argument: Any) -> None:
    if name not in _OWN and name not in _BY_MONGOMOCK:
        raise not_supported(f"the aggregation stage {name}")
    if name in {"$skip", "$limit"} and (isinstance(argument, bool) or not isinstance(argument, int | float)):
        raise CommandError(f"invalid argument to {name}: expected a number", 5107201)


def _run(documents: list[Document], name: str, argument: Any) -> list[Document]:
    own = _OWN.get(name)
    if own is not None:
        return own(documents, argument)
    copies = bson.decode_all(b"".join(bson.encode(document) for document in documents), CODEC)
    try:
        return list(_mongomock_pipeline(copies, None, [{name: argument}], None))
    except NotImplementedError as exc:
        raise not_supported(f"{name} with {argument!r} ({exc})") from exc


def _match(documents: list[Document], query: Any) -> list[Document]:
    return list(filter(compile_filter(query), documents))


def _sort(documents: list[Document], order: Any) -> list[Document]:
    return sort_documents(documents, parse_sort(order))


def _count(documents: list[Document], name: Any) -> list[Document]:
    return [{str(name): len(documents)}] if documents else []


_OWN: dict[str, Callable[[list[Document], Any], list[Document]]] = {
    "$match": _match,
    "$sort": _sort,
    "$skip": lambda documents, number: documents[int(number) :],
    "$limit": lambda documents, number: documents[: int(number)],
    "$count": _count,
    "$group": group,
}
