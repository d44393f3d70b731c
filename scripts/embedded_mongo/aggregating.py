"""The aggregate command: six stages whose results agree with MongoDB's; any other is refused by name."""

from collections.abc import Callable
from typing import Any

from .arguments import check_arguments, count_of, document_of, name_of
from .cursors import FIRST_BATCH, Cursors
from .engine import Engine
from .errors import CommandError, not_supported
from .grouping import group
from .matching import compile_filter
from .selecting import parse_sort, select, sort_documents
from .values import Document


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
        name, argument = next(iter(stage.items()))
        documents = _STAGES[name](documents, argument)
    return cursors.start(namespace, documents, batch_size)


def _check_stage(name: str, argument: Any) -> None:
    if name not in _STAGES:
        raise not_supported(f"the aggregation stage {name}")
    if name in {"$skip", "$limit"} and (isinstance(argument, bool) or not isinstance(argument, int | float)):
        raise CommandError(f"invalid argument to {name}: expected a number", 5107201)


def _match(documents: list[Document], query: Any) -> list[Document]:
    return list(filter(compile_filter(query), documents))


def _sort(documents: list[Document], order: Any) -> list[Document]:
    return sort_documents(documents, parse_sort(order))


def _count(documents: list[Document], name: Any) -> list[Document]:
    return [{str(name): len(documents)}] if documents else []


_STAGES: dict[str, Callable[[list[Document], Any], list[Document]]] = {
    "$match": _match,
    "$sort": _sort,
    "$skip": lambda documents, number: documents[int(number) :],
    "$limit": lambda documents, number: documents[: int(number)],
    "$count": _count,
    "$group": group,
}
