"""Turns a caller's inputs and options into exactly what is sent to fal, or says everything that is wrong with them."""

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from registry.geometry import SHAPE_NAMES, asked_pixels, conflicts, shape_options, shaped
from registry.loader import Registry
from registry.spec import ModelSpec, Param
from registry.table import did_you_mean
from registry.values import canonical, escaped, faults

_MAX_PROBLEMS = 50
"""Enough to correct a request; a body made of a hundred thousand faults must not keep the process busy."""
_PLACES = ("inputs", "options")
_EMPTY: tuple[Any, ...] = ([], "")
"""For a parameter that selects a variant these count as not given."""


@dataclass(frozen=True)
class Problem:
    pointer: str
    """JSON pointer into the request, such as /inputs/prompt."""
    detail: str
    kind: str
    """missing, unknown or invalid."""


class RequestRefused(Exception):
    """The request does not fit the model; lists every problem at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        self.missing = tuple(problem.pointer.rsplit("/", 1)[-1] for problem in problems if problem.kind == "missing")
        texts = [f"Missing required inputs: {', '.join(self.missing)}"] if self.missing else []
        texts += [f"{problem.pointer}: {problem.detail}" for problem in problems if problem.kind != "missing"]
        super().__init__("; ".join(texts))


class UnknownModel(Exception):
    """No model of that name is registered; only exact names count."""

    def __init__(self, name: str, valid: tuple[str, ...]) -> None:
        super().__init__(f"Unknown model '{name[:100]}'.{did_you_mean(name, valid)} Valid models: {', '.join(valid)}")
        self.name = name
        self.valid = valid


@dataclass(frozen=True, kw_only=True)
class CheckedRequest:
    model: str
    """The name the caller used; `spec.name` differs from it when a variant was chosen."""
    spec: ModelSpec
    inputs: dict[str, Any]
    """As given, under the parameters' own names."""
    options: dict[str, Any]
    """As given, under the parameters' own names, plus the model's default options.

    Checking `inputs` and `options` again gives the same request.
    """
    arguments: dict[str, Any]
    """What goes to fal, without num_images; shape options are converted."""
    num_images: int
    image_inputs: tuple[str, ...]
    """JSON pointers of the image values inside `arguments`."""


def check_request(registry: Registry, model_name: str, inputs: Any, options: Any = None) -> CheckedRequest:
    """Check a request completely. Raises UnknownModel, or RequestRefused with every problem."""
    return _check(registry, model_name, {"inputs": inputs, "options": options}, complete=True)


def check_options(registry: Registry, model_name: str, inputs: Any, options: Any = None) -> CheckedRequest:
    """Check what is there, for an estimate: as `check_request`, but required inputs may be missing."""
    return _check(registry, model_name, {"inputs": inputs, "options": options}, complete=False)


def split_images(num_images: int, per_call: int) -> tuple[int, ...]:
    """Return how many images each call makes: 10 at 4 per call are 4, 4, 2."""
    full, rest = divmod(num_images, per_call)
    return (per_call,) * full + ((rest,) if rest else ())


def accepted(spec: ModelSpec) -> dict[str, Param]:
    """Return every name a request may use, aliases and shape options too."""
    names = {**spec.params, **shape_options(spec)}
    for param in spec.params.values():
        names |= dict.fromkeys(param.aliases, param)
    return names


def default_arguments(spec: ModelSpec) -> dict[str, Any]:
    """Return what fal is sent when the caller gives no options, without num_images."""
    return _arguments(spec, spec.default_options)


def _check(registry: Registry, model_name: Any, body: dict[str, Any], *, complete: bool) -> CheckedRequest:
    base = registry.get(model_name) if isinstance(model_name, str) else None
    if base is None:
        raise UnknownModel(str(model_name), registry.names)
    given, problems = _objects(body)
    spec = _choose_variant(registry, base, given)
    found = _sort_out(spec, given)
    problems += found.problems
    if complete:
        problems += _missing(spec, found.inputs)
    if problems:
        raise RequestRefused(tuple(problems))
    request = _checked(base.name, spec, found)
    if too_large := _too_large(request, found):
        raise RequestRefused((too_large,))
    return request


def _too_large(request: CheckedRequest, found: "_Found") -> Problem | None:
    """Return what is wrong with an image that the operator does not pay for, whichever way its size was asked for."""
    limit, asked = request.spec.max_megapixels, asked_pixels(request.spec, request.arguments)
    if limit is None or asked is None or asked <= limit * 1_000_000:
        return None
    pointer = next((found.where[name] for name in SHAPE_NAMES if name in found.where), "/options/image_size")
    megapixels = math.ceil(asked / 10_000) / 100  # Rounded up: never the limit itself.
    return Problem(pointer, f"asks for an image of {megapixels:.2f} megapixels; at most {limit:g} are allowed", "invalid")


@dataclass
class _Found:
    inputs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    where: dict[str, str] = field(default_factory=dict)
    """JSON pointer of each parameter that was given."""


def _objects(body: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    given: dict[str, dict[str, Any]] = {}
    problems = []
    for place in _PLACES:
        value = {} if body[place] is None else body[place]
        given[place] = dict(value) if isinstance(value, Mapping) else {}
        if not isinstance(value, Mapping):
            problems.append(Problem(f"/{place}", "must be an object", "invalid"))
    return given, problems


def _choose_variant(registry: Registry, base: ModelSpec, given: dict[str, dict[str, Any]]) -> ModelSpec:
    """Return the model the request really is for; drops empty values of parameters that would have changed it."""
    for variant in base.variants:
        for name in (variant.when_input, *base.params[variant.when_input].aliases):
            for place in _PLACES:
                if given[place].get(name, None) in _EMPTY:
                    del given[place][name]
                elif name in given[place]:
                    return registry.get(variant.model) or base
    return base


def _sort_out(spec: ModelSpec, given: dict[str, dict[str, Any]]) -> _Found:
    found = _Found()
    names, where = accepted(spec), found.where
    for place in _PLACES:
        target = found.inputs if place == "inputs" else found.options
        for name, value in given[place].items():
            pointer = f"/{place}{escaped(name)}"
            param = names.get(name)
            if param is None:
                if len(found.problems) < _MAX_PROBLEMS:
                    found.problems.append(Problem(pointer, _unknown(spec, name, place), "unknown"))
            elif place == "options" and param.name in spec.required_inputs:
                found.problems.append(Problem(pointer, f"'{name}' belongs in inputs", "unknown"))
            elif param.name in where:
                detail = f"'{param.name}' is given twice, here and as {where[param.name]}: remove one"
                found.problems.append(Problem(pointer, detail, "invalid"))
            else:
                where[param.name] = pointer
                wrong = [Problem(pointer + below, detail, "invalid") for below, detail in islice(faults(param, value), _MAX_PROBLEMS)]
                found.problems += wrong
                target[param.name] = value if wrong else canonical(param, value)
    for name, detail in conflicts(spec, where):
        found.problems.append(Problem(where[name], detail, "invalid"))
    return found


def _unknown(spec: ModelSpec, name: str, place: str) -> str:
    names = accepted(spec)
    allowed = [known for known, param in names.items() if place == "inputs" or param.name not in spec.required_inputs]
    shown = name if len(name) <= 100 else name[:100] + "…"
    word = place.removesuffix("s")
    return f"Unknown {word} '{shown}'.{did_you_mean(name, allowed)} Allowed {place} of {spec.name}: {', '.join(allowed)}"


def _missing(spec: ModelSpec, given: Container[str]) -> list[Problem]:
    return [Problem(f"/inputs{escaped(name)}", f"'{name}' is required", "missing") for name in spec.required_inputs if name not in given]


def _checked(model: str, spec: ModelSpec, found: _Found) -> CheckedRequest:
    given = {**found.inputs, **found.options}
    shape_given = any(name in given for name in SHAPE_NAMES)
    defaults = {
        name: canonical(spec.params[name], value)
        for name, value in spec.default_options.items()
        if name not in given and not (shape_given and name in SHAPE_NAMES)
    }
    values = {**defaults, **given}
    arguments = _arguments(spec, values)
    return CheckedRequest(
        model=model,
        spec=spec,
        inputs=found.inputs,
        options={**defaults, **found.options},
        arguments=arguments,
        num_images=int(values.get("num_images", 1)),
        image_inputs=tuple(pointer for name, value in arguments.items() for pointer in _images_in(spec.params[name], value, escaped(name))),
    )


def _arguments(spec: ModelSpec, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shaped(spec, values).items() if name != "num_images"}


def _images_in(param: Param, value: Any, pointer: str) -> Iterator[str]:
    if param.type == "image":
        yield pointer
    elif param.items and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _images_in(param.items, item, pointer + escaped(index))
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in param.properties:
                yield from _images_in(param.properties[name], item, pointer + escaped(name))
