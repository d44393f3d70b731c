"""The commands that change documents: insert, update, delete, findAndModify."""

from collections.abc import Callable
from typing import Any

import bson
from bson.objectid import ObjectId
from bson.regex import Regex

from .arguments import check_arguments, count_of, document_of, documents_of, name_of
from .collection import Collection
from .engine import Engine
from .errors import FAILED_TO_PARSE, CommandError
from .projecting import compile_projection
from .selecting import first_match, select
from .updating import apply_update, check_update, replace, upsert_seed
from .values import Document


def insert(engine: Engine, database: str, arguments: Document) -> Document:
    """Insert documents; what fails is named in `writeErrors`, and ends the command unless `ordered` is false."""
    check_arguments(arguments, {"insert", "documents", "ordered"})
    collection = engine.create(f"{database}.{name_of(arguments, 'insert')}")

    def one(_index: int, document: Document) -> int:
        collection.insert(with_id(document))
        return 1

    return _each(arguments, "documents", one)


def with_id(document: Document) -> Document:
    """Return the document with its `_id` first, generated if absent. Raises CommandError for an id MongoDB refuses."""
    for name in document:
        if name.startswith("$"):
            raise CommandError(f"Field names may not start with '$': {name}", 52)
    if "_id" not in document:
        return {"_id": ObjectId(), **document}
    if isinstance(document["_id"], list | Regex):
        raise CommandError(f"The '_id' value cannot be of type {type(document['_id']).__name__}", 53)
    return document if next(iter(document)) == "_id" else {"_id": document["_id"], **document}


def delete(engine: Engine, database: str, arguments: Document) -> Document:
    check_arguments(arguments, {"delete", "deletes", "ordered"})
    collection = engine.get(f"{database}.{name_of(arguments, 'delete')}")

    def one(_index: int, statement: Document) -> int:
        check_arguments(statement, {"q", "limit"})
        if collection is None:
            return 0
        found = select(collection, document_of(statement, "q"), limit=count_of(statement, "limit") or None)
        for document in found:
            collection.delete(document)
        return len(found)

    return _each(arguments, "deletes", one)


def update(engine: Engine, database: str, arguments: Document) -> Document:
    """Update or replace; answers `n`, `nModified` and the ids of `upserted` documents."""
    check_arguments(arguments, {"update", "updates", "ordered"})
    collection = engine.create(f"{database}.{name_of(arguments, 'update')}")
    modified = 0
    upserted: list[Document] = []

    def one(index: int, statement: Document) -> int:
        nonlocal modified
        check_arguments(statement, {"q", "u", "multi", "upsert", "sort"})
        matched, changed, new_ids = _update_one_statement(collection, statement)
        modified += changed
        upserted.extend({"index": index, "_id": new_id} for new_id in new_ids)
        return matched + len(new_ids)

    answer = _each(arguments, "updates", one)
    answer["nModified"] = modified
    if upserted:
        answer["upserted"] = upserted
    return answer


def _update_one_statement(collection: Collection, statement: Document) -> tuple[int, int, list[Any]]:
    """Return how many matched, how many changed, and the id of the document an upsert made."""
    query, change, multi = document_of(statement, "q"), statement.get("u"), bool(statement.get("multi"))
    has_operators = check_update(change)
    if multi and not has_operators:
        raise CommandError("multi update is not supported for replacement-style update", FAILED_TO_PARSE)
    found = select(collection, query, sort=statement.get("sort"), limit=None if multi else 1)
    if not found and statement.get("upsert"):
        return 0, 0, [_upsert(collection, query, change)["_id"]]
    changed = 0
    for document in found:
        after = apply_update(document, change) if has_operators else replace(document, with_fields(change))
        changed += _store(collection, document, after)
    return len(found), changed, []


def with_fields(replacement: Any) -> Document:
    """Return the replacement once it is known to be a document."""
    if not isinstance(replacement, dict):
        raise CommandError("a replacement must be an object", FAILED_TO_PARSE)
    return replacement


def _store(collection: Collection, before: Document, after: Document) -> bool:
    """Store a changed document; nothing is written when nothing changed. Return whether it did."""
    # Python's equality takes True for 1 and ignores the order of fields; the bytes do not.
    if before == after and bson.encode(before) == bson.encode(after):
        return False
    collection.change(before, after)
    return True


def _upsert(collection: Collection, query: Document, change: Any) -> Document:
    seed = upsert_seed(query)
    if check_update(change):
        document = apply_update(seed, change, inserting=True)
    else:
        document = replace({"_id": seed["_id"]} if "_id" in seed else {}, with_fields(change))
    document = with_id(document)
    collection.insert(document)
    return document


def find_and_modify(engine: Engine, database: str, arguments: Document) -> Document:
    """Change, replace, remove or upsert one document and answer it as it was, or as it is with `new`."""
    known = {"findAndModify", "findandmodify", "query", "update", "remove", "new", "sort", "fields", "upsert"}
    check_arguments(arguments, known)
    namespace = f"{database}.{name_of(arguments, next(iter(arguments)))}"
    removes, change = bool(arguments.get("remove")), arguments.get("update")
    if removes == (change is not None) or (removes and (arguments.get("new") or arguments.get("upsert"))):
        raise CommandError("findAndModify needs either an update or remove=true alone", FAILED_TO_PARSE)
    show = compile_projection(document_of(arguments, "fields"))
    query = document_of(arguments, "query")
    collection = engine.create(namespace)
    found = first_match(collection, query, arguments.get("sort"))
    if removes:
        if found is not None:
            collection.delete(found)
        return _modified(found, show, {"n": int(found is not None)})
    has_operators = check_update(change)
    if found is not None:
        after = apply_update(found, change) if has_operators else replace(found, with_fields(change))
        _store(collection, found, after)
        return _modified(after if arguments.get("new") else found, show, {"n": 1, "updatedExisting": True})
    if not arguments.get("upsert"):
        return _modified(None, show, {"n": 0, "updatedExisting": False})
    made = _upsert(collection, query, change)
    details = {"n": 1, "updatedExisting": False, "upserted": made["_id"]}
    return _modified(made if arguments.get("new") else None, show, details)


def _modified(shown: Document | None, show: Callable[[Document], Document], details: Document) -> Document:
    return {"lastErrorObject": details, "value": None if shown is None else show(shown), "ok": 1.0}


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
    answer: Document = {"n": done, "ok": 1.0}
    if errors:
        answer["writeErrors"] = errors
    return answer
