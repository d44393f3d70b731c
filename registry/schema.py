"""JSON Schema 2020-12 of a model's request: the same rules `registry.request` checks, for forms and clients."""

from collections.abc import Callable
from typing import Any

from registry.geometry import shape_options
from registry.loader import Registry
from registry.request import accepted
from registry.spec import INT64_MAX, INT64_MIN, ModelSpec, Param
from registry.values import (
    DATA_PATTERN,
    HTTPS_PATTERN,
    MAX_DATA_LENGTH,
    MAX_URL_LENGTH,
    SIZE_OBJECT,
    SIZES,
    UPLOAD_PATTERN,
)

Schema = dict[str, Any]
_NO_NUL = {"pattern": "^[^\\u0000]*$"}
_NOT_BLANK: Schema = {"pattern": r"\S"}
_NOT_EMPTY: Schema = {"not": {"enum": [[], ""]}}
_SELECTOR: Schema = {"enum": [[], ""], "description": "Empty counts as not given; with a value the request follows another schema."}
_IMAGE: Schema = {
    "type": "string",
    "anyOf": [
        {"pattern": HTTPS_PATTERN, "maxLength": MAX_URL_LENGTH},
        {"pattern": DATA_PATTERN, "maxLength": MAX_DATA_LENGTH},
        {"pattern": UPLOAD_PATTERN},
    ],
}
_NOTE = (
    "Optional parameters are accepted in inputs or in options, but each only once, under one of its names: giving it "
    "twice is an error this schema does not express. Nor does it say that strings must be valid Unicode."
)


def json_schema(registry: Registry, spec: ModelSpec) -> Schema:
    """Describe `{"inputs": …, "options": …}` of a model; parameters that select a variant make it an if/then/else."""
    schema: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": spec.name,
        "description": f"{spec.description}\n\n{_NOTE}",
        "type": "object",
    }
    body = _body(spec)
    for variant in reversed(spec.variants):
        target = registry.get(variant.model)
        if target is not None:
            names = (variant.when_input, *spec.params[variant.when_input].aliases)
            body = {"if": _any_of([_given(name, _NOT_EMPTY) for name in names]), "then": _body(target), "else": body}
    return {**schema, **body}


def _body(spec: ModelSpec) -> Schema:
    names = accepted(spec)
    selects = {variant.when_input for variant in spec.variants}
    properties = {name: _SELECTOR if param.name in selects else _param(spec, param) for name, param in names.items()}
    required = [_required(spec.params[name]) for name in spec.required_inputs]
    inputs: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    plain = [rule["required"][0] for rule in required if "required" in rule]
    choices = [rule for rule in required if "required" not in rule]
    if plain:
        inputs["required"] = plain
    if choices:
        inputs["allOf"] = choices
    optional = {name: properties[name] for name, param in names.items() if param.name not in spec.required_inputs}
    options = {"type": "object", "properties": optional, "additionalProperties": False}
    body: Schema = {"type": "object", "properties": {"inputs": inputs, "options": options}, "additionalProperties": False}
    if spec.required_inputs:
        body["required"] = ["inputs"]
    rules = _shape_rules(spec)
    return {**body, "allOf": rules} if rules else body


def _required(param: Param) -> Schema:
    """A required input under exactly one of its names."""
    if not param.aliases:
        return {"required": [param.name]}
    return {"oneOf": [{"required": [name]} for name in (param.name, *param.aliases)]}


def _given(name: str, value: Schema | None = None) -> Schema:
    """The parameter is in one of the two objects, with a value of that kind."""
    inner: Schema = {"required": [name], "properties": {name: value}} if value else {"required": [name]}
    return _any_of([{"required": [place], "properties": {place: inner}} for place in ("inputs", "options")])


def _any_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _shape_rules(spec: ModelSpec) -> list[Schema]:
    """Width with height, and one way only to name the shape."""
    extra = shape_options(spec)
    if not extra:
        return []
    rules: list[Schema] = []
    ways = [name for name in ("image_size", "aspect_ratio") if name in spec.params or name in extra]
    if "width" in extra:
        rules += [{"if": _given(one), "then": _given(other)} for one, other in (("width", "height"), ("height", "width"))]
        ways.append("width")
    pairs = [(first, second) for index, first in enumerate(ways) for second in ways[index + 1 :]]
    return rules + [{"not": {"allOf": [_given(first), _given(second)]}} for first, second in pairs]


def _param(spec: ModelSpec, param: Param) -> Schema:
    schema = value_schema(param)
    default = spec.default_options.get(param.name, param.default)
    if default is not None:
        schema["default"] = default
    return schema


def value_schema(param: Param) -> Schema:
    schema = {**_typed(param)}
    if param.enum and param.type != "size":
        schema["enum"] = list(param.enum)
    if param.description:
        schema["description"] = param.description
    return schema


def _typed(param: Param) -> Schema:
    describe: dict[str, Callable[[Param], Schema]] = {
        "string": _string,
        "integer": _number,
        "number": _number,
        "boolean": lambda _: {"type": "boolean"},
        "image": lambda _: _IMAGE,
        "size": _size,
        "array": _array,
        "object": _object,
        "any": lambda _: _any(),
    }
    return describe[param.type](param)


def _string(param: Param) -> Schema:
    bounds = {"minLength": param.min_length, "maxLength": param.max_length}
    schema: Schema = {"type": "string"} | {key: value for key, value in bounds.items() if value is not None}
    if param.enum:
        return schema
    patterns = [_NO_NUL, *([_NOT_BLANK] if param.min_length else []), *([{"pattern": param.pattern}] if param.pattern else [])]
    return {**schema, "allOf": patterns} if len(patterns) > 1 else {**schema, **_NO_NUL}


def _number(param: Param) -> Schema:
    schema: Schema = {
        "type": param.type,
        "minimum": INT64_MIN if param.minimum is None else param.minimum,
        "maximum": INT64_MAX if param.maximum is None else param.maximum,
    }
    if param.exclusive_minimum is not None:
        schema["exclusiveMinimum"] = param.exclusive_minimum
    return schema


def _size(param: Param) -> Schema:
    return {"anyOf": [{"enum": list(param.enum or SIZES)}, _object(SIZE_OBJECT)]}


def _array(param: Param) -> Schema:
    bounds = {"minItems": param.min_items, "maxItems": param.max_items}
    items = value_schema(param.items) if param.items else _scalar()
    return {"type": "array", "items": items} | {key: value for key, value in bounds.items() if value is not None}


def _object(param: Param) -> Schema:
    if not param.properties:
        return {"type": "object", "propertyNames": dict(_NO_NUL), "additionalProperties": _any()}
    properties = {name: value_schema(inner) for name, inner in param.properties.items()}
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(param.required)} if param.required else schema


def _scalar() -> Schema:
    number = _number(Param(name="any", type="number"))
    return {"anyOf": [{"type": "string", **_NO_NUL}, number, {"type": "boolean"}]}


def _any() -> Schema:
    return {"anyOf": [*_scalar()["anyOf"], {"type": "array", "items": _scalar()}]}
