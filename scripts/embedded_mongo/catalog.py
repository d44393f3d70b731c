"""The commands about databases, collections and indexes."""

from .collection import Collection
from .commands import Command, count_of, document_of, documents_of
from .cursors import FIRST_BATCH
from .errors import Code, CommandError, not_supported
from .filters import compile_filter
from .storage import Engine
from .values import Document


def create(engine: Engine, namespace: str, _arguments: Document) -> Document:
    if engine.collections.get(namespace) is not None:
        raise CommandError(f"Collection {namespace} already exists.", Code.NamespaceExists)
    engine.create(namespace)
    return {}


def drop(engine: Engine, namespace: str, _arguments: Document) -> Document:
    collection = engine.collections.get(namespace)
    if collection is None:
        return {}
    engine.drop(namespace)
    return {"nIndexesWas": len(collection.index_specs()), "ns": namespace}


def drop_database(engine: Engine, database: str, _arguments: Document) -> Document:
    for namespace in engine.in_database(database):
        engine.drop(namespace)
    return {"dropped": database}


def list_collections(engine: Engine, database: str, arguments: Document) -> Document:
    fixed = {"type": "collection", "options": {}, "info": {"readOnly": False}, "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"}}
    entries = [{"name": namespace.partition(".")[2], **fixed} for namespace in engine.in_database(database)]
    wanted = filter(compile_filter(document_of(arguments, "filter")), entries)
    return engine.cursors.start(f"{database}.$cmd.listCollections", wanted, _batch_size(arguments))


def list_databases(engine: Engine, _database: str, _arguments: Document) -> Document:
    names = sorted({namespace.partition(".")[0] for namespace in engine.collections})
    return {"databases": [{"name": name, "sizeOnDisk": 0, "empty": False} for name in names], "totalSize": 0}


def create_indexes(engine: Engine, namespace: str, arguments: Document) -> Document:
    """Create all indexes or none. Raises CommandError (11000) when the documents there break a unique one."""
    specs = documents_of(arguments, "indexes")
    existed = engine.collections.get(namespace) is not None
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
    }


def list_indexes(engine: Engine, namespace: str, arguments: Document) -> Document:
    return engine.cursors.start(namespace, _existing(engine, namespace).index_specs(), _batch_size(arguments))


def drop_indexes(engine: Engine, namespace: str, arguments: Document) -> Document:
    collection, name = _existing(engine, namespace), arguments.get("index")
    before = len(collection.index_specs())
    if not isinstance(name, str) or name == "*":
        raise not_supported("dropping an index otherwise than by its name")
    if name == "_id_":
        raise CommandError("cannot drop _id index", Code.InvalidOptions)
    if name not in collection.indexes:
        raise CommandError(f"index not found with name [{name}]", Code.IndexNotFound)
    collection.drop_index(name)
    return {"nIndexesWas": before}


def _existing(engine: Engine, namespace: str) -> Collection:
    collection = engine.collections.get(namespace)
    if collection is None:
        raise CommandError(f"ns does not exist: {namespace}", Code.NamespaceNotFound)
    return collection


def _batch_size(arguments: Document) -> int:
    return count_of(document_of(arguments, "cursor"), "batchSize", FIRST_BATCH)


COMMANDS = {
    "create": Command(create),
    "drop": Command(drop),
    "dropDatabase": Command(drop_database, is_of_collection=False),
    "listCollections": Command(list_collections, {"filter", "nameOnly", "authorizedCollections", "cursor"}, is_of_collection=False),
    "listDatabases": Command(list_databases, {"nameOnly", "authorizedDatabases"}, is_of_collection=False),
    "createIndexes": Command(create_indexes, {"indexes", "commitQuorum"}),
    "listIndexes": Command(list_indexes, {"cursor"}),
    "dropIndexes": Command(drop_indexes, {"index"}),
}
