"""Drafts a model file from what fal says of an endpoint, and writes it as TOML (reading is in `registry.table`)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.clients.fal.openapi import EndpointSchema, read_schema
from app.clients.fal.platform import FalPlatform
from app.domain.errors import InvalidRequest, NotFound
from registry.loader import load_registry
from registry.request import RequestRefused, check_request
from registry.spec import MAX_IMAGES, ModelSpec, Param
from registry.values import faults

PER_CALL = 4
_PRICE_NOTE = "# The base price; what changes it (a larger resolution, say) goes into [[prices.tiers]] and [[prices.extras]]."
_AS_OPTION = frozenset({"boolean", "size"})
_PLACEHOLDERS: Mapping[str, Any] = {
    "string": "a red bicycle",
    "image": "https://example.com/image.png",
    "boolean": True,
    "size": "square_hd",
    "any": "any",
}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Draft:
    """The text of a model file, and inputs that it accepts; `example` is None where none could be made up."""

    name: str
    text: str
    example: dict[str, Any] | None


def usual_name(endpoint: str) -> str:
    """Return the endpoint without its owner, as a file name: `fal-ai/flux/dev` is `flux-dev`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", endpoint.partition("/")[2]).strip("-._")


def draft_model(platform: FalPlatform, endpoint: str, *, name: str, per_image: Decimal | None, today: date) -> Draft:
    """Draft the file `<name>.toml`; it has been loaded as a test. `per_image` is a price in USD in the place of fal's own.

    Raises NotFound for an unknown endpoint, InvalidRequest where it makes no pictures or its price needs a decision, ProviderError, and
    RegistryError for a name that no model can have.
    """
    document = platform.openapi(endpoint)
    if document is None:
        raise NotFound(f"fal has no endpoint {endpoint!r}")
    schema = read_schema(endpoint, document)
    if schema.output is None:
        raise InvalidRequest(f"{endpoint} answers with neither images nor image; only models that make pictures can be used")
    price = {"unit": "image", "amount": per_image} if per_image is not None else _fals_price(platform, endpoint)
    text = _text(schema, {"id": f"{name}-{today.isoformat()}", "from": today, **price, **_source(per_image, endpoint, today)}, today)
    return Draft(name, text, _tried(name, text, schema))


def _fals_price(platform: FalPlatform, endpoint: str) -> dict[str, Any]:
    listed = platform.prices([endpoint]).get(endpoint)
    if listed is None:
        raise InvalidRequest(f"fal names no price for {endpoint}; decide what an image costs (costPerImage, or --cost-per-image)")
    if listed.registry_unit is None:
        said = f"{listed.amount.normalize():f} {listed.currency} / {listed.unit}"
        raise InvalidRequest(
            f"fal bills {endpoint} by something else than images: {said}; decide what one costs (costPerImage, or --cost-per-image)"
        )
    return {"unit": listed.registry_unit, "amount": listed.amount}


def _source(per_image: Decimal | None, endpoint: str, today: date) -> dict[str, Any]:
    if per_image is not None:
        return {}
    return {"source": f"https://api.fal.ai/v1/models/pricing?endpoint_id={endpoint}", "checked": today}


def _text(schema: EndpointSchema, price: dict[str, Any], today: date) -> str:
    inputs = {name: table for name, table in schema.inputs.items() if name != "num_images"}
    required = [name for name in schema.required if name in inputs]
    options = [name for name, table in inputs.items() if name not in required and _is_option(table)]
    optional = [name for name in inputs if name not in (*required, *options)]
    top: dict[str, Any] = {
        "falEndpoint": schema.endpoint,
        "category": schema.category or "text-to-image",
        "description": f"{schema.endpoint} at fal.ai",
        **({"documentation": schema.documentation} if schema.documentation else {}),
        "checked": today,
        "requiredInputs": required,
        "optionalInputs": optional,
        "output": schema.output,
    }
    if "num_images" in schema.inputs:
        top |= {"defaultOptions": {"num_images": 1}, "maxImagesPerCall": _per_call(schema.inputs["num_images"])}
    tables = [f"# Drafted on {today} from what fal says of the endpoint.\n{toml_table('', top)}"]
    tables += [toml_table(f"[inputs.{toml_key(name)}]", inputs[name]) for name in (*required, *optional) if inputs[name]]
    tables += [toml_table(f"[options.{toml_key(name)}]", inputs[name]) for name in options]
    tables += [f"{_PRICE_NOTE}\n{toml_table('[[prices]]', price)}"]
    return "\n".join(tables)


def _is_option(table: Mapping[str, Any]) -> bool:
    return not table or table["type"] in _AS_OPTION or "enum" in table


def _per_call(table: Mapping[str, Any]) -> int:
    maximum = table.get("maximum")
    return min(int(maximum), MAX_IMAGES) if maximum is not None and maximum >= 1 else PER_CALL


def _tried(name: str, text: str, schema: EndpointSchema) -> dict[str, Any] | None:
    """Load the file as the service will, and return example inputs that it accepts. Raises RegistryError."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{name}.toml").write_text(text, "utf-8")
        registry = load_registry(Path(folder))
    spec = registry.get(name)
    if spec is None:
        return None
    inputs = dict(_examples(spec, schema))
    try:
        check_request(registry, name, inputs)
    except RequestRefused:
        return None
    return inputs


def _examples(spec: ModelSpec, schema: EndpointSchema) -> Iterator[tuple[str, Any]]:
    for name in spec.required_inputs:
        param = spec.params[name]
        candidates = (schema.examples.get(name), param.default, *param.enum[:1], _placeholder(param))
        fitting = (value for value in candidates if value is not None and not any(faults(param, value)))
        yield from ((name, value) for value in [next(fitting, None)] if value is not None)


def _placeholder(param: Param) -> Any:
    if param.type in ("integer", "number"):
        return param.minimum if param.minimum is not None else param.maximum if param.maximum is not None else 1
    if param.type == "array":
        return [_placeholder(param.items) if param.items else "any"] * max(param.min_items or 1, 1)
    if param.type == "object":
        return {name: _placeholder(param.properties[name]) for name in param.required}
    return _PLACEHOLDERS[param.type]


def toml_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _string(name)


def toml_value(value: Any) -> str:
    """Return a value on one line; tables become inline tables. Raises TypeError for what TOML or this project does not have."""
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return str(value).lower()  # True is an integer too.
    if isinstance(value, Decimal) and value.is_finite():
        text = f"{value:f}"
        return text if "." in text else f"{text}.0"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_key(name)} = {toml_value(item)}" for name, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    raise TypeError(f"{type(value).__name__} cannot be written as TOML")


def toml_table(header: str, values: Mapping[str, Any]) -> str:
    """Return a table under its header line, such as `[inputs.seed]` or `[[prices]]`; without a header the top of a file."""
    lines = [header] if header else []
    return "\n".join([*lines, *(f"{toml_key(name)} = {toml_value(value)}" for name, value in values.items())]) + "\n"


def _string(text: str) -> str:
    return '"' + "".join(_character(char) for char in text) + '"'


def _character(char: str) -> str:
    """Escape what TOML forbids in a string; half a surrogate pair, which no file can hold, becomes the replacement character."""
    if char in _SHORT:
        return _SHORT[char]
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    if char < " " or char == "\x7f":
        return f"\\u{ord(char):04X}"
    return char
