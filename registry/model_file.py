"""Reads one `<name>.toml` into a ModelSpec. Strict: what is not understood is refused, with the file and the key."""

import re
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from registry.geometry import conflicts
from registry.params import build_param
from registry.price_list import read_prices
from registry.spec import MAX_IMAGES, ModelSpec, Param, RegistryError, Variant
from registry.table import Table, read_toml, shown
from registry.values import canonical, faults

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ENDPOINT = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)+")
_OUTPUTS = ("images", "image")


def read_model(path: Path) -> ModelSpec:
    """Read one model; its name is the file's, without `.toml`. Raises RegistryError."""
    if not _NAME.fullmatch(path.stem):
        raise RegistryError(shown(path), "", "the file name is the model name: letters, digits, dot, dash and underscore")
    table = read_toml(path)
    params = _params(table)
    fal_per_call = params["num_images"].maximum if "num_images" in params else 1
    if "num_images" in params:
        params["num_images"] = _without_fal_limit(params["num_images"])
    spec = ModelSpec(
        name=path.stem,
        fal_endpoint=_endpoint(table),
        fal_twins=table.names("falTwins"),
        category=table.text("category"),
        description=table.text("description"),
        params=params,
        required_inputs=table.names("requiredInputs"),
        optional_inputs=table.names("optionalInputs"),
        option_names=tuple(name for name, param in params.items() if param.home == "options"),
        default_options=_default_options(table, params),
        prices=read_prices(table, path.stem, params),
        max_images_per_call=_per_call(table, fal_per_call),
        max_megapixels=_positive(table, "maxMegapixels"),
        output=_one_of(table, "output", _OUTPUTS),
        usual_seconds=_positive(table, "usualSeconds"),
        variants=_variants(table, params),
        documentation=_https(table, "documentation"),
        checked=table.day("checked"),
        file=table.file,
    )
    table.finish()
    for _, detail in conflicts(spec, spec.default_options):
        raise table.fail("defaultOptions", detail)
    return spec


def _params(table: Table) -> dict[str, Param]:
    if "requiredInputs" not in table:
        raise table.fail("requiredInputs", 'is missing; list what a request must have, such as ["prompt"]')
    required, optional = table.names("requiredInputs"), table.names("optionalInputs")
    defaults = table.table("defaultOptions").values
    options = _options(table)
    inputs = table.table("inputs")
    _check_declared_once(table, required, optional, options, defaults)
    for name in inputs.values:
        if name not in required + optional:
            raise inputs.fail(name, "is not listed; add it to requiredInputs or optionalInputs")
    params = {name: build_param(name, inputs.table(name), "inputs") for name in required + optional}
    for name in chain(options.values, (name for name in defaults if name not in optional)):
        params[name] = build_param(name, options.table(name), "options")
    _check_aliases(table, params)
    return params


def _options(table: Table) -> Table:
    """Return the options as tables, whichever of the two ways the file names them."""
    if isinstance(table.values.get("options"), list):
        return Table({name: {} for name in table.names("options")}, table.file, "options")
    return table.table("options")


def _check_declared_once(
    table: Table, required: tuple[str, ...], optional: tuple[str, ...], options: Table, defaults: Mapping[str, Any]
) -> None:
    for name in optional:
        if name in required:
            raise table.fail("optionalInputs", f"'{name}' is declared twice, in requiredInputs too; remove one")
    for name in options.values:
        if name in required + optional:
            raise table.fail("options", f"'{name}' is declared twice, as an input too; remove one")
    for name in defaults:
        if name in required:
            raise table.fail("defaultOptions", f"'{name}' is a required input: it cannot have a default; remove one")


def _check_aliases(table: Table, params: dict[str, Param]) -> None:
    taken = set(params)
    for param in params.values():
        for alias in param.aliases:
            if alias in taken:
                raise table.fail(f"{param.home}.{param.name}.aliases", f"'{alias}' is declared twice; remove one")
            taken.add(alias)


def _default_options(table: Table, params: Mapping[str, Param]) -> dict[str, Any]:
    defaults = table.table("defaultOptions")
    for name in defaults.values:
        for pointer, detail in faults(params[name], defaults.raw(name)):
            raise defaults.fail(name + pointer, detail)
    return {name: canonical(params[name], defaults.raw(name)) for name in defaults.values}


def _without_fal_limit(param: Param) -> Param:
    """Lift fal's limit for one call: a request may ask for more and is split."""
    return Param(
        name=param.name,
        type="integer",
        home=param.home,
        default=param.default or 1,
        minimum=1,
        maximum=MAX_IMAGES,
        aliases=param.aliases,
        description=param.description,
    )


def _per_call(table: Table, fal_limit: float | None) -> int:
    limit = table.integer("maxImagesPerCall", minimum=1)
    if limit is None:
        return 4 if fal_limit is None else int(fal_limit)
    if limit > MAX_IMAGES:
        raise table.fail("maxImagesPerCall", f"must be at most {MAX_IMAGES}")
    if fal_limit is not None and limit > fal_limit:
        raise table.fail("maxImagesPerCall", f"must be at most {int(fal_limit)}, which is what num_images allows in one call")
    return limit


def _variants(table: Table, params: Mapping[str, Param]) -> tuple[Variant, ...]:
    variants = []
    for entry in table.tables("variants"):
        variant = Variant(when_input=entry.text("whenInput"), model=entry.text("model"))
        entry.finish()
        if variant.when_input not in params:
            raise entry.fail("whenInput", f"the model has no parameter '{variant.when_input}'; add it to optionalInputs")
        if variant.when_input in table.names("requiredInputs"):
            raise entry.fail("whenInput", f"'{variant.when_input}' is required, so it cannot select; move it to optionalInputs")
        variants.append(variant)
    return tuple(variants)


def _endpoint(table: Table) -> str:
    endpoint = table.text("falEndpoint")
    if not _ENDPOINT.fullmatch(endpoint):
        raise table.fail("falEndpoint", "must look like owner/app or owner/app/path, without https:// or a slash in front")
    return endpoint


def _one_of(table: Table, key: str, allowed: tuple[str, ...]) -> str:
    value = table.optional_text(key) or allowed[0]
    if value not in allowed:
        raise table.fail(key, f"must be one of {', '.join(allowed)}")
    return value


def _positive(table: Table, key: str) -> float | None:
    value = table.number(key)
    if value is not None and value <= 0:
        raise table.fail(key, "must be more than 0")
    return value


def _https(table: Table, key: str) -> str | None:
    value = table.optional_text(key)
    if value is not None and not value.startswith("https://"):
        raise table.fail(key, "must be an https:// address")
    return value
