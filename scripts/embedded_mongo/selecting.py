"""Reads of one collection: which documents a query means, in which order, and what of them is shown."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from .collection import Collection
from .errors import CommandError, not_supported
from .matching import compile_filter
from .values import PLAIN, Document, Key, canonical, sort_by_field, sort_key

_BY_ID = (["_id"], False), (["_id"], True)


def select(collection: Collection, query: Any, *, sort: Any = None, skip: int = 0, limit: int | None = None) -> list[Document]:
    """Return the matching documents, as they are stored, in the order asked for; `limit` None is all."""
    predicate = compile_filter(query)
    order = parse_sort(sort)
    end = None if limit is None else skip + limit
    keys = _indexed_keys(collection, query)
    if len(order) == 1 and order[0] in _BY_ID and _walk_pays(collection, keys, end):
        found = filter(predicate, _walk(collection, query, descending=order[0][1]))
        return list(islice(found, skip, end))
    source = collection.documents.values() if keys is None else collection.with_keys(keys)
    matching = filter(predicate, source)
    if order:
        return sort_documents(matching, order)[skip:end]
    return list(islice(matching, skip, end))


def _indexed_keys(collection: Collection, query: Document) -> Iterable[Key] | None:
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
            bucket = index.first.get(value, {})
            found = bucket if len(wanted) == 1 else {**found, **bucket}
        if best is None or len(found) < len(best):
            best = found
    return best


def _equalities(query: Document) -> Iterator[tuple[str, list[Key]]]:
    for name, condition in query.items():
        if name == "$and":
            for part in condition:
                yield from _equalities(part)
        elif not name.startswith("$"):
            values = [condition]
            if condition.__class__ is dict:
                values = [condition["$eq"]] if "$eq" in condition else condition.get("$in", [None])
            if all(_is_indexable(value) for value in values):
                yield name, list(dict.fromkeys(canonical(value) for value in values))


def _is_indexable(value: Any) -> bool:
    """Say whether the value can only be found under itself: null also means missing, an array its elements."""
    return value is not None and (value.__class__ in PLAIN or isinstance(value, int))


def _walk_pays(collection: Collection, keys: Iterable[Key] | None, end: int | None) -> bool:
    """Say whether going through all documents by `_id` until enough are found beats sorting the candidates."""
    if keys is None:
        return True
    count = len(keys) if isinstance(keys, dict | list) else 0
    return end is not None and (end + 1) * len(collection.documents) < count * count


def _walk(collection: Collection, query: Document, *, descending: bool) -> Iterator[Document]:
    """Yield the documents by `_id`, from and to the bounds the query sets on it."""
    low, high = 0, len(collection.order)
    bounds = query.get("_id")
    if bounds.__class__ is dict:
        for operator, value in bounds.items():
            if operator in {"$gt", "$gte"}:
                low = max(low, bisect_left(collection.order, (sort_key(value),)))
            elif operator in {"$lt", "$lte"}:
                high = min(high, bisect_left(collection.order, (sort_key(value),)) + 1)
    positions = range(low, min(high, len(collection.order)))
    for position in reversed(positions) if descending else positions:
        yield collection.documents[collection.order[position][1]]


def parse_sort(sort: Any) -> list[tuple[list[str], bool]]:
    """Return (path, descending) for each key of a sort document."""
    order = []
    for name, direction in (sort or {}).items():
        if isinstance(direction, dict):
            raise not_supported(f"sorting by {direction!r}")
        if isinstance(direction, bool) or direction not in {1, -1}:
            raise CommandError("$sort key ordering must be 1 (for ascending) or -1 (for descending)")
        if name == "$natural":
            raise not_supported("sorting by $natural")
        order.append((name.split("."), direction == -1))
    return order


def sort_documents(documents: Iterable[Document], order: list[tuple[list[str], bool]]) -> list[Document]:
    """Sort by several keys, stable, as MongoDB orders values."""
    result = list(documents)
    for parts, descending in reversed(order):
        if len(parts) == 1:
            plain = _plain_values(result, parts[0])
            if plain is not None:
                places = sorted(range(len(result)), key=plain.__getitem__, reverse=descending)
                result = [result[place] for place in places]
                continue
        sort_by_field(result, parts, descending=descending)
    return result


def _plain_values(documents: list[Document], name: str) -> list[Any] | None:
    """Return the field's values when all are of one type Python orders as MongoDB does: the quick way to sort."""
    values = [document.get(name) for document in documents]
    kinds = {value.__class__ for value in values}
    return values if len(kinds) == 1 and kinds.pop().__name__ in {"str", "datetime", "ObjectId"} else None


def first_match(collection: Collection, query: Any, sort: Any = None) -> Document | None:
    found = select(collection, query, sort=sort, limit=1)
    return found[0] if found else None
