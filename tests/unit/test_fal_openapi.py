"""What fal writes about an endpoint, as a model file would describe it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from app.clients.fal.openapi import describe, read_schema
from app.domain.errors import ProviderError
from registry.params import build_param
from registry.table import Table
from tests.support.fal_platform import IMAGE_SIZE

ENDPOINT = "fal-ai/flux/dev"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "integer"}),
        ({"type": ["number", "null"], "exclusiveMinimum": 0}, {"type": "number", "exclusiveMinimum": 0}),
        ({"type": "number", "exclusiveMinimum": True, "minimum": 0}, {"type": "number", "exclusiveMinimum": 0}),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}], "default": 2}, {"type": "number", "default": 2}),
        ({"anyOf": [{"enum": ["a"], "type": "string"}, {"const": "b", "type": "string"}]}, {"type": "string", "enum": ["a", "b"]}),
        ({"anyOf": [{"enum": ["a"], "type": "string"}, {"type": "string"}]}, {"type": "string"}),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, {"type": "any"}),
        ({"allOf": [{"$ref": "#/components/schemas/Style"}], "default": "b"}, {"type": "string", "enum": ["a", "b"], "default": "b"}),
        ({"$ref": "#/components/schemas/Loop"}, {"type": "any"}),
        ({"$ref": "#/components/schemas/Missing"}, {"type": "any"}),
        ({"$ref": 7}, {"type": "any"}),
        ({}, {"type": "any"}),
        ({"type": "string", "enum": ["a", None]}, {"type": "string", "enum": ["a"]}),
        ({"type": "string", "default": 5}, {"type": "string"}),
        ({"type": "string", "pattern": "(", "maxLength": 5}, {"type": "string", "maxLength": 5}),
        ({"type": "integer", "minimum": 9, "maximum": 1}, {"type": "integer"}),
        ({"type": "integer", "enum": ["x"]}, {"type": "integer"}),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}, None),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]},
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        ),
        ({**IMAGE_SIZE, "default": {"width": 1, "height": 1.0}}, None),
    ],
)
def test_a_property_becomes_a_parameter_the_registry_can_check(schema: dict[str, Any], expected: dict[str, Any] | None) -> None:
    tree = {"type": "object", "properties": {"leaf": {"type": "string"}, "branch": {"$ref": "#/components/schemas/Tree"}}}
    shared = {"Style": {"type": "string", "enum": ["a", "b"]}, "Loop": {"$ref": "#/components/schemas/Loop"}, "Tree": tree}
    document = {"components": {"schemas": shared}}

    table = describe("thing", json.loads(json.dumps(schema), parse_float=Decimal), document)

    build_param("thing", Table(table, "", ""), "inputs")
    if expected is not None:
        assert table == expected


@pytest.mark.parametrize(
    ("document", "said"),
    [({}, "does not say what it takes"), ({"paths": []}, "does not say"), ({"paths": {"/x": None}, "components": 7}, "does not say")],
)
def test_a_document_that_describes_nothing_is_told_as_fals_fault(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ProviderError, match=said):
        read_schema(ENDPOINT, document)
