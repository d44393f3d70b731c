"""Projections: the part of a document a read asked for."""

from collections.abc import Callable
from typing import Any

from .errors import CommandError, not_supported
from .values import Document

_Tree = dict[str, Any]  # Nested: a field's name to None (the whole field) or to the tree of its own fields.


def compile_projection(projection: Any) -> Callable[[Document], Document]:
    """Return the function that shows a document as the projection wants. Raises CommandError for unsupported forms."""
    if not projection:
        return lambda document: document
    fields = dict(_flatten(projection, ""))
    id_wanted = fields.pop("_id", None)
    modes = set(fields.values())
    if len(modes) > 1:
        raise CommandError("Cannot mix inclusion and exclusion in a projection", 31254)
    including = modes.pop() if modes else bool(id_wanted)
    if including and id_wanted is not False:
        fields = {"_id": True, **fields}
    if not including and id_wanted is False:
        fields["_id"] = False
    tree = _tree(list(fields))
    if including:
        return lambda document: _include(document, tree)
    return lambda document: _exclude(document, tree)


def _flatten(projection: Any, prefix: str) -> list[tuple[str, bool]]:
    flat: list[tuple[str, bool]] = []
    for name, wanted in projection.items():
        path = prefix + name
        if name.startswith("$") or ".$" in name:
            raise not_supported(f"the projection {path}")
        if isinstance(wanted, dict) and wanted:
            flat.extend(_flatten(wanted, f"{path}."))
        elif isinstance(wanted, bool | int | float):
            flat.append((path, bool(wanted)))
        else:
            raise not_supported(f"the expression {wanted!r} in a projection")
    return flat


def _tree(paths: list[str]) -> _Tree:
    tree: _Tree = {}
    for path in paths:
        *parents, last = path.split(".")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
            if node is None:
                raise CommandError(f"Path collision at {path}", 31249)
        if last in node:
            raise CommandError(f"Path collision at {path}", 31250)
        node[last] = None
    return tree


def _include(document: Document, tree: _Tree) -> Document:
    shown: Document = {}
    for name, value in document.items():
        if name not in tree:
            continue
        inner = tree[name]
        if inner is None:
            shown[name] = value
        elif value.__class__ is dict:
            shown[name] = _include(value, inner)
        elif value.__class__ is list:
            shown[name] = _include_items(value, inner)
    return shown


def _include_items(items: list[Any], tree: _Tree) -> list[Any]:
    shown: list[Any] = []
    for item in items:
        if item.__class__ is dict:
            shown.append(_include(item, tree))
        elif item.__class__ is list:
            shown.append(_include_items(item, tree))
    return shown


def _exclude(value: Any, tree: _Tree) -> Any:
    if value.__class__ is list:
        return [_exclude(item, tree) for item in value]
    if value.__class__ is not dict:
        return value
    return {
        name: item if name not in tree else _exclude(item, tree[name]) for name, item in value.items() if tree.get(name, tree) is not None
    }
