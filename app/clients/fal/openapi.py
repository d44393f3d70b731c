"""What an endpoint takes and answers, read from its OpenAPI document (3.0 as fal writes it; 3.1 is understood too)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.clients.fal.params import Description, describe, resolved
from app.domain.errors import ProviderError
from registry.table import plain

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class EndpointSchema:
    endpoint: str
    category: str | None
    documentation: str | None
    inputs: Mapping[str, Description]
    """Each parameter as a model file would describe it, in fal's order; empty where this service has rules of its own."""
    required: tuple[str, ...]
    examples: Mapping[str, Any]
    """fal's example of each parameter that has one."""
    output: str | None
    """Key of the answer that holds the pictures, `images` or `image`; None: it makes none."""


def read_schema(endpoint: str, document: Document) -> EndpointSchema:
    """Read the document of an endpoint. Raises ProviderError where it does not describe what the endpoint takes."""
    body = _input(endpoint, document)
    properties = body.get("properties")
    if not isinstance(properties, Mapping):
        raise ProviderError(f"fal's description of {endpoint} does not say what it takes")
    names = [name for name in _ordered(body, properties) if name.strip()]
    metadata = _at(document, "info", "x-fal-metadata") or {}
    return EndpointSchema(
        endpoint=endpoint,
        category=_text(metadata.get("category")),
        documentation=_https(metadata.get("documentationUrl")) or _https(metadata.get("playgroundUrl")),
        inputs={name: describe(name, properties[name], document) for name in names},
        required=tuple(name for name in names if name in (body.get("required") or ())),
        examples={name: example for name in names for example in _example(resolved(properties[name], document))},
        output=_output(document),
    )


def _input(endpoint: str, document: Document) -> dict[str, Any]:
    """Return the schema of the submit's body: of the endpoint's own path, else of the only one that is no request's."""
    paths = document.get("paths")
    paths = paths if isinstance(paths, Mapping) else {}
    candidates = [f"/{endpoint}", *(path for path in paths if "/requests/" not in path)]
    bodies = (_at(paths.get(path), "post", "requestBody", "content", "application/json", "schema") for path in candidates)
    return next((found for body in bodies if (found := resolved(body, document))), {})


def _output(document: Document) -> str | None:
    paths = document.get("paths")
    for path, methods in paths.items() if isinstance(paths, Mapping) else ():
        if path.endswith("/requests/{request_id}"):
            schema = _at(methods, "get", "responses", "200", "content", "application/json", "schema")
            names = resolved(schema, document).get("properties") or {}
            return next((key for key in ("images", "image") if key in names), None)
    return None


def _ordered(body: Mapping[str, Any], properties: Mapping[str, Any]) -> list[str]:
    order = body.get("x-fal-order-properties")
    listed = [name for name in order if name in properties] if isinstance(order, list) else []
    return list(dict.fromkeys([*listed, *properties]))


def _example(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the first example, with plain JSON numbers, where there is one."""
    examples = schema.get("examples")
    first = examples[0] if isinstance(examples, list) and examples else schema.get("example")
    if first is not None:
        yield plain(first)


def _at(value: Any, *path: str) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _https(value: Any) -> str | None:
    return value if isinstance(value, str) and value.startswith("https://") else None
