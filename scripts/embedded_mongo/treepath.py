"""The way into a document for an update: containers on the path are copied, so the stored document stays as it was."""

from typing import Any

from .errors import BAD_VALUE, PATH_NOT_VIABLE, CommandError
from .values import MISSING, Document

_LONGEST_PADDING = 1_500_000  # MongoDB's own bound on the nulls that fill an array up to a far index.


def descend(root: Document, parts: list[str], *, create: bool) -> Any:
    """Return the copied container that holds the last part of the path, None when it is absent and not to be made.

    Raises CommandError (PathNotViable) when it is to be made but a scalar is in the way.
    """
    node: Any = root
    for part in parts[:-1]:
        child = get(node, part)
        if child.__class__ is dict:
            child = dict(child)
        elif child.__class__ is list:
            child = list(child)
        elif not create:
            return None
        elif child is MISSING:
            child = {}
        else:
            raise CommandError(f"Cannot create field in element {{{part}: {child!r}}}", PATH_NOT_VIABLE)
        put(node, part, child)
        node = child
    return node


def get(node: Any, part: str) -> Any:
    """Return what a container has under one part of a path, MISSING when nothing."""
    if node.__class__ is dict:
        return node.get(part, MISSING)
    if node.__class__ is list and part.isdecimal() and int(part) < len(node):
        return node[int(part)]
    return MISSING


def put(node: Any, part: str, value: Any) -> None:
    """Write into a container; an array is filled with nulls up to the index."""
    if node.__class__ is dict:
        node[part] = value
        return
    if not part.isdecimal():
        raise CommandError(f"Cannot create field '{part}' in an array", PATH_NOT_VIABLE)
    index = int(part)
    if index - len(node) > _LONGEST_PADDING:
        raise CommandError("can't backfill more than 1500000 elements", BAD_VALUE)
    while len(node) <= index:
        node.append(None)
    node[index] = value
