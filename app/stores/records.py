"""Frozen dataclasses as documents, and back: each field under its name in camelCase (`id` is `_id`), enums by value, tuples as arrays.

A field with a default may be missing from a document: it is younger than that. What a document holds besides is left alone.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar, get_type_hints

import cattrs
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from app.stores.database import Document

KNOWN_TO_BSON = [known for kind in (str, int, bool, datetime, dict[str, Any], dict[str, str]) for known in (kind, kind | None)]
AS_IT_IS: dict[str, Any] = {"struct_hook": lambda value, _: value, "unstruct_hook": identity}

T = TypeVar("T")


def _fields(cls: type) -> dict[str, Any]:
    """Return how each field is kept. What BSON knows is not looked at: a job has hundreds of such fields, read at each step."""
    types = get_type_hints(cls)
    return {
        field.name: override(rename=_name(field.name), **(AS_IT_IS if types[field.name] in KNOWN_TO_BSON else {}))
        for field in dataclasses.fields(cls)
    }


def _name(name: str) -> str:
    first, *others = name.split("_")
    return "_id" if name == "id" else first + "".join(word.capitalize() for word in others)


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=False)
    # As text: BSON has no exact decimal that all the stores know.
    converter.register_unstructure_hook(Decimal, str)
    converter.register_structure_hook(Decimal, lambda text, _: Decimal(text))
    converter.register_structure_hook_factory(dataclasses.is_dataclass, lambda cls: make_dict_structure_fn(cls, converter, **_fields(cls)))
    converter.register_unstructure_hook_factory(
        dataclasses.is_dataclass, lambda cls: make_dict_unstructure_fn(cls, converter, **_fields(cls))
    )
    return converter


_CONVERTER = _converter()


def document_of(record: Any) -> Document:
    """Return a record's fields as MongoDB keeps them."""
    document: Document = _CONVERTER.unstructure(record)
    return document


def record_of(cls: type[T], document: Document) -> T:
    """Return what a document holds of a class. Raises KeyError or ValueError for one that is not of it."""
    return _CONVERTER.structure(document, cls)
