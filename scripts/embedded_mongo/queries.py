"""Reads of one collection: which documents a query means, in which order, what of them is shown, what they come to together."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from bson import Int64

from .collection import Collection
from .errors import CommandError, not_supported
from .filters import compile_filter, conditions
from .values import MISSING, PLAIN, Document, Key, canonical, sort_key, sort_key_of

Order = list[tuple[list[str], bool]]  # For each key of a sort: its path, and whether it is descending.
_Tree = dict[str, Any]  # Nested: a field's name to None (the whole field) or to the tree of its own fields.


def select(collection: Collection | None, query: Any, *, sort: Any = None, skip: int = 0, limit: int = 0) -> list[Document]:
    """Return the matching documents, as they are stored, in the order asked for; `limit` 0 is all. No collection has none."""
    predicate = compile_filter(query)
    order = _parse_sort(sort or {})
    if collection is None:
        return []
    end = skip + limit if limit else None
    keys = _indexed_keys(collection, query)
    # Going through all documents by `_id` until enough are found may beat sorting the candidates.
    walk_pays = keys is None or (end is not None and (end + 1) * len(collection.documents) < len(keys) ** 2)
    if len(order) == 1 and order[0][0] == ["_id"] and walk_pays:
        found = filter(predicate, _walk(collection, query, descending=order[0][1]))
        return list(islice(found, skip, end))
    source = collection.documents.values() if keys is None else collection.with_keys(keys)
    matching = filter(predicate, source)
    if order:
        return _sort(list(matching), order)[skip:end]
    return list(islice(matching, skip, end))


def _indexed_keys(collection: Collection, query: Document) -> list[Key] | dict[Key, None] | None:
    """Return the ids of a superset of the matching documents from the best index, None when none helps."""
    equalities = dict(_equalities(query))
    if "_id" in equalities:
        return equalities["_id"]
    best: dict[Key, None] | None = None
    for index in collection.indexes.values():
        wanted = equalities.get(index.first_path)
        if wanted is None:
            continue
        found: dict[Key, None] = {}
        for value in wanted:
            if bucket := index.first.get(value):
                found = {**found, **bucket} if found else bucket
        if best is None or len(found) < len(best):
            best = found
    return best


def _equalities(query: Document) -> Iterator[tuple[str, list[Key]]]:
    """Yield the paths at which a matching document must have one of some values that can only be found under themselves.

    Null is not such a value, since it also means missing, nor is an array, which means its elements too.
    """
    for path, operator, argument in conditions(query):
        values = [argument] if operator == "$eq" else argument if operator == "$in" else [None]
        if all(value is not None and (value.__class__ in PLAIN or isinstance(value, int)) for value in values):
            yield path, list(dict.fromkeys(map(canonical, values)))


def _walk(collection: Collection, query: Document, *, descending: bool) -> Iterator[Document]:
    """Yield the documents by `_id`, from and to the bounds the query sets on it."""
    low, high = 0, len(collection.order)
    for path, operator, value in conditions(query):
        if path == "_id" and operator in {"$gt", "$gte"}:
            low = max(low, bisect_left(collection.order, (sort_key(value),)))
        elif path == "_id" and operator in {"$lt", "$lte"}:
            high = min(high, bisect_left(collection.order, (sort_key(value),)) + 1)
    positions = range(low, min(high, len(collection.order)))
    for position in reversed(positions) if descending else positions:
        yield collection.documents[collection.order[position][1]]


def _parse_sort(sort: Document) -> Order:
    order = []
    for name, direction in sort.items():
        if isinstance(direction, dict) or name == "$natural":
            raise not_supported(f"sorting by {name} {direction!r}")
        if isinstance(direction, bool) or direction not in {1, -1}:
            raise CommandError("$sort key ordering must be 1 (for ascending) or -1 (for descending)")
        order.append((name.split("."), direction == -1))
    return order


def _sort(documents: list[Document], order: Order) -> list[Document]:
    for parts, descending in reversed(order):
        documents = sorted(documents, key=lambda document: sort_key_of(document, parts, descending=descending), reverse=descending)
    return documents


def compile_projection(projection: Document) -> Callable[[Document], Document]:
    """Return the function that shows a document as the projection wants. Raises CommandError for unsupported forms."""
    if not projection:
        return lambda document: document
    for path, wanted in projection.items():
        if "$" in path or not isinstance(wanted, bool | int | float):
            raise not_supported(f"{wanted!r} for {path} in a projection")
    fields = {path: bool(wanted) for path, wanted in projection.items()}
    id_wanted = fields.pop("_id", None)
    modes = set(fields.values())
    if len(modes) > 1:
        raise CommandError("Cannot mix inclusion and exclusion in a projection", 31254)
    including = modes.pop() if modes else bool(id_wanted)
    if including == (id_wanted is not False):
        fields["_id"] = including
    tree = _tree(list(fields))
    return lambda document: _shown(document, tree, including=including)


def _tree(paths: list[str]) -> _Tree:
    tree: _Tree = {}
    for path in paths:
        *parents, last = path.split(".")
        node: _Tree | None = tree
        for part in parents:
            node = node.setdefault(part, {}) if node is not None else None
        if node is None or last in node:
            raise CommandError(f"Path collision at {path}", 31250)
        node[last] = None
    return tree


def _shown(value: Any, tree: _Tree, *, including: bool) -> Any:
    if value.__class__ is list:
        shown = (_shown(item, tree, including=including) for item in value if not including or item.__class__ in {dict, list})
        return list(shown)
    if value.__class__ is not dict:
        return value
    result: Document = {}
    for name, item in value.items():
        if name in tree and tree[name] is not None:
            if not including or item.__class__ in {dict, list}:
                result[name] = _shown(item, tree[name], including=including)
        elif (name in tree) == including:
            result[name] = item
    return result


def group(documents: list[Document], specification: Any) -> list[Document]:
    """Return one document per value of `_id` with the sums over it, in the order the values were met: the $group stage.

    Expressions are field paths ("$a.b"), constants, and objects of those; others are refused.
    """
    if not isinstance(specification, dict) or "_id" not in specification:
        raise CommandError("a group specification must include an _id", 15955)
    sums = {name: _sum_of(name, given) for name, given in specification.items() if name != "_id"}
    groups: dict[Key, tuple[Any, list[Document]]] = {}
    for document in documents:
        value = _evaluate(specification["_id"], document)
        value = None if value is MISSING else value
        groups.setdefault(canonical(value), (value, []))[1].append(document)
    return [{"_id": value, **{name: total(members) for name, total in sums.items()}} for value, members in groups.values()]


def _sum_of(name: str, given: Any) -> Callable[[list[Document]], Any]:
    if not isinstance(given, dict) or len(given) != 1:
        raise CommandError(f"The field '{name}' must be an accumulator object", 40234)
    operator, expression = next(iter(given.items()))
    if operator != "$sum":
        raise not_supported(f"the accumulator {operator}")
    _evaluate(expression, {})  # Refuses what it cannot do even when there is no document.

    def total(members: list[Document]) -> Any:
        values = [_evaluate(expression, document) for document in members]
        numbers = [value for value in values if value.__class__ in {int, float, Int64}]
        result = sum(numbers)
        return Int64(result) if isinstance(result, int) and any(isinstance(number, Int64) for number in numbers) else result

    return total


def _evaluate(expression: Any, document: Document) -> Any:
    """Return the value of an expression, MISSING for a field that is not there. Raises CommandError."""
    if isinstance(expression, dict):
        if any(name.startswith("$") for name in expression):
            raise not_supported(f"the expression {expression!r} in $group")
        shown = {name: _evaluate(part, document) for name, part in expression.items()}
        return {name: value for name, value in shown.items() if value is not MISSING}
    if not isinstance(expression, str) or not expression.startswith("$"):
        return expression
    value: Any = document
    for part in expression[1:].split("."):
        if part.startswith("$") or value.__class__ is list:
            raise not_supported(f"the expression {expression}, a variable or through an array, in $group")
        value = value.get(part, MISSING) if value.__class__ is dict else MISSING
    return value
