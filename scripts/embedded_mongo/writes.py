"""The commands that change documents: insert, update, delete, findAndModify."""

from collections.abc import Callable
from typing import Any

import bson
from bson.objectid import ObjectId
from bson.regex import Regex

from .collection import Collection
from .commands import Command, check_arguments, count_of, document_of, documents_of
from .errors import Code, CommandError
from .queries import compile_projection, select
from .storage import Engine
from .updates import Change, compile_update, upsert_seed
from .values import Document


def insert(engine: Engine, namespace: str, arguments: Document) -> Document:
    """Insert documents; what fails is named in `writeErrors`, and ends the command unless `ordered` is false."""
    collection = engine.create(namespace)

    def one(_index: int, document: Document) -> int:
        collection.insert(_with_id(document))
        return 1

    return _each(arguments, "documents", one)


def _with_id(document: Document) -> Document:
    """Return the document with its `_id` first, generated if absent. Raises CommandError for an id MongoDB refuses."""
    for name in document:
        if name.startswith("$"):
            raise CommandError(f"Field names may not start with '$': {name}", Code.DollarPrefixedFieldName)
    if "_id" not in document:
        return {"_id": ObjectId(), **document}
    if isinstance(document["_id"], list | Regex):
        raise CommandError(f"The '_id' value cannot be of type {type(document['_id']).__name__}", Code.InvalidIdField)
    return document if next(iter(document)) == "_id" else {"_id": document["_id"], **document}


def delete(engine: Engine, namespace: str, arguments: Document) -> Document:
    collection = engine.collections.get(namespace)

    def one(_index: int, statement: Document) -> int:
        check_arguments(statement, {"q", "limit"})
        if collection is None:
            return 0
        found = select(collection, document_of(statement, "q"), limit=count_of(statement, "limit"))
        for document in found:
            collection.delete(document)
        return len(found)

    return _each(arguments, "deletes", one)


def update(engine: Engine, namespace: str, arguments: Document) -> Document:
    """Update or replace; answers `n`, `nModified` and the ids of `upserted` documents."""
    collection = engine.create(namespace)
    modified = 0
    upserted: list[Document] = []

    def one(index: int, statement: Document) -> int:
        nonlocal modified
        check_arguments(statement, {"q", "u", "multi", "upsert"})
        query, multi = document_of(statement, "q"), bool(statement.get("multi"))
        change = compile_update(statement.get("u"), multi=multi)
        found = select(collection, query, limit=0 if multi else 1)
        for document in found:
            modified += _store(collection, document, change(document)) is not document
        if not found and statement.get("upsert"):
            upserted.append({"index": index, "_id": _upsert(collection, query, statement["u"])["_id"]})
            return 1
        return len(found)

    answer = _each(arguments, "updates", one)
    return {**answer, "nModified": modified, **({"upserted": upserted} if upserted else {})}


def _store(collection: Collection, before: Document, after: Document) -> Document:
    """Store a changed document and return it; nothing is written when nothing changed, and `before` returned."""
    # Python's equality takes True for 1 and ignores the order of fields; the bytes do not.
    if before == after and bson.encode(before) == bson.encode(after):
        return before
    collection.change(after)
    return after


def _upsert(collection: Collection, query: Document, update: Any) -> Document:
    document = _with_id(compile_update(update, inserting=True)(upsert_seed(query)))
    collection.insert(document)
    return document


def find_and_modify(engine: Engine, namespace: str, arguments: Document) -> Document:
    """Change, replace, remove or upsert one document and answer it as it was, or as it is with `new`."""
    removes, new, update = bool(arguments.get("remove")), bool(arguments.get("new")), arguments.get("update")
    if removes == (update is not None) or (removes and (new or arguments.get("upsert"))):
        raise CommandError("findAndModify needs either an update or remove=true alone", Code.FailedToParse)
    change = None if removes else compile_update(update)
    show = compile_projection(document_of(arguments, "fields"))
    query = document_of(arguments, "query")
    collection = engine.create(namespace)
    found = next(iter(select(collection, query, sort=arguments.get("sort"), limit=1)), None)
    details: Document = {"n": int(found is not None)}
    if found is None and change is not None and arguments.get("upsert"):
        made = _upsert(collection, query, update)
        details, found = {"n": 1, "upserted": made["_id"]}, made if new else None
    elif found is not None:
        found = _modified(collection, found, change, new=new)
    if change is not None:
        details["updatedExisting"] = bool(details["n"]) and "upserted" not in details
    return {"lastErrorObject": details, "value": None if found is None else show(found)}


def _modified(collection: Collection, document: Document, change: Change | None, *, new: bool) -> Document:
    """Change the document, or remove it where there is no change; return it as it is then with `new`, else as it was."""
    if change is None:
        collection.delete(document)
        return document
    after = _store(collection, document, change(document))
    return after if new else document


def _each(arguments: Document, name: str, one: Callable[[int, Document], int]) -> Document:
    """Run every statement of a write command and sum up what each says it did."""
    done = 0
    errors: list[Document] = []
    for index, statement in enumerate(documents_of(arguments, name)):
        try:
            done += one(index, statement)
        except CommandError as exc:
            errors.append(exc.as_write_error(index))
            if arguments.get("ordered", True):
                break
    answer: Document = {"n": done}
    if errors:
        answer["writeErrors"] = errors
    return answer


COMMANDS = {
    "insert": Command(insert, {"documents", "ordered"}),
    "update": Command(update, {"updates", "ordered"}),
    "delete": Command(delete, {"deletes", "ordered"}),
    "findAndModify": Command(find_and_modify, {"query", "update", "remove", "new", "sort", "fields", "upsert"}),
}
