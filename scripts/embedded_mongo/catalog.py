"""The commands about databases, collections and indexes."""

from typing import Any

from .arguments import check_arguments, count_of, document_of, documents_of, name_of
from .collection import Collection
from .cursors import FIRST_BATCH, Cursors
from .engine import Engine
from .errors import INDEX_NOT_FOUND, NAMESPACE_EXISTS, NAMESPACE_NOT_FOUND, CommandError
from .matching import compile_filter
from .values import Document


def create(engine: Engine, database: str, arguments: Document) -> Document:
    check_arguments(arguments, {"create"})
    namespace = f"{database}.{name_of(arguments, 'create')}"
    if engine.get(namespace) is not None:
        raise CommandError(f"Collection {namespace} already exists.", NAMESPACE_EXISTS)
    engine.create(namespace)
    return {"ok": 1.0}


def drop(engine: Engine, database: str, arguments: Document) -> Document:
    check_arguments(arguments, {"drop"})
    namespace = f"{database}.{name_of(arguments, 'drop')}"
    collection = engine.get(namespace)
    if collection is None:
        return {"ok": 1.0}
    engine.drop(namespace)
    return {"nIndexesWas": len(collection.index_specs()), "ns": namespace, "ok": 1.0}


def drop_database(engine: Engine, database: str, arguments: Document) -> Document:
    check_arguments(arguments, {"dropDatabase"})
    for namespace in engine.in_database(database):
        engine.drop(namespace)
    return {"dropped": database, "ok": 1.0}


def list_collections(engine: Engine, cursors: Cursors, database: str, arguments: Document) -> Document:
    check_arguments(arguments, {"listCollections", "filter", "nameOnly", "authorizedCollections", "cursor"})
    predicate = compile_filter(document_of(arguments, "filter"))
    entries: list[Document] = []
    for namespace in engine.in_database(database):
        name = namespace.partition(".")[2]
        entry: Document = {"name": name, "type": "collection"}
        if not arguments.get("nameOnly"):
            entry |= {
                "options": {},
                "info": {"readOnly": False},
                "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"},
            }
        if predicate(entry):
            entries.append(entry)
    return cursors.start(f"{database}.$cmd.listCollections", entries, _batch_size(arguments))


def list_databases(engine: Engine, arguments: Document) -> Document:
    check_arguments(arguments, {"listDatabases", "filter", "nameOnly", "authorizedDatabases"})
    predicate = compile_filter(document_of(arguments, "filter"))
    names = sorted({namespace.partition(".")[0] for namespace in engine.collections})
    entries: list[Document] = [{"name": name, "sizeOnDisk": 0, "empty": False} for name in names]
    entries = [entry for entry in entries if predicate(entry)]
    if arguments.get("nameOnly"):
        return {"databases": [{"name": entry["name"]} for entry in entries], "ok": 1.0}
    return {"databases": entries, "totalSize": 0, "ok": 1.0}


def create_indexes(engine: Engine, database: str, arguments: Document) -> Document:
    """Create all indexes or none. Raises CommandError (11000) when the documents there break a unique one."""
    check_arguments(arguments, {"createIndexes", "indexes", "commitQuorum"})
    specs = documents_of(arguments, "indexes")
    namespace = f"{database}.{name_of(arguments, 'createIndexes')}"
    existed = engine.get(namespace) is not None
    collection = engine.create(namespace)
    before = list(collection.indexes)
    try:
        for spec in specs:
            collection.create_index(spec)
    except CommandError:
        for name in [name for name in collection.indexes if name not in before]:
            collection.drop_index(name)
        raise
    return {
        "numIndexesBefore": len(before) + 1,
        "numIndexesAfter": len(collection.indexes) + 1,
        "createdCollectionAutomatically": not existed,
        "ok": 1.0,
    }


def list_indexes(engine: Engine, cursors: Cursors, database: str, arguments: Document) -> Document:
    check_arguments(arguments, {"listIndexes", "cursor"})
    namespace = f"{database}.{name_of(arguments, 'listIndexes')}"
    return cursors.start(namespace, _existing(engine, namespace).index_specs(), _batch_size(arguments))


def drop_indexes(engine: Engine, database: str, arguments: Document) -> Document:
    """Drop the index of a name or key pattern, several names, or with "*" all but the one on `_id`."""
    check_arguments(arguments, {"dropIndexes", "deleteIndexes", "index"})
    collection = _existing(engine, f"{database}.{name_of(arguments, next(iter(arguments)))}")
    before = len(collection.index_specs())
    for name in _index_names(collection, arguments.get("index")):
        if name == "_id_":
            raise CommandError("cannot drop _id index", 72)
        if name not in collection.indexes:
            raise CommandError(f"index not found with name [{name}]", INDEX_NOT_FOUND)
        collection.drop_index(name)
    return {"nIndexesWas": before, "ok": 1.0}


def _index_names(collection: Collection, wanted: Any) -> list[str]:
    if wanted == "*":
        return list(collection.indexes)
    if isinstance(wanted, dict):
        keys = list(wanted.items())
        names = [spec["name"] for spec in collection.index_specs() if list(spec["key"].items()) == keys]
        if not names:
            raise CommandError(f"can't find index with key: {wanted!r}", INDEX_NOT_FOUND)
        return names
    return [str(name) for name in wanted] if isinstance(wanted, list) else [str(wanted)]


def _existing(engine: Engine, namespace: str) -> Collection:
    collection = engine.get(namespace)
    if collection is None:
        raise CommandError(f"ns does not exist: {namespace}", NAMESPACE_NOT_FOUND)
    return collection


def _batch_size(arguments: Document) -> int:
    return count_of(document_of(arguments, "cursor"), "batchSize", FIRST_BATCH)
