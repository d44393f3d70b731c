"""What the words of the OpenAI Images API mean for the models here, as data."""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.loader import OPENAI_FILE, Registry
from registry.request import accepted
from registry.spec import ModelSpec, Param
from registry.table import Table, did_you_mean, read_toml
from registry.values import faults

MASK_STYLES = ("white", "alpha")
SIZE = "size"
Options = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Who draws from words alone, and who changes pictures."""

    generate: str
    edit: str

    def of(self, *, edit: bool) -> str:
        return self.edit if edit else self.generate


@dataclass(frozen=True, kw_only=True)
class Alias:
    names: tuple[str, ...]
    patterns: tuple[str, ...]
    roles: Roles

    def fits(self, name: str) -> bool:
        return name in self.names or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """What may be said of a parameter; `needs_rule`: only to a model that has a rule for it."""

    values: tuple[str, ...]
    needs_rule: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelRules:
    """`options` by parameter and value: what is asked of the model in its place."""

    options: Mapping[str, Mapping[str, Options]]
    mask_style: str | None = None


@dataclass(frozen=True, kw_only=True)
class OpenAIRules:
    default: Roles
    aliases: tuple[Alias, ...]
    parameters: Mapping[str, Parameter]
    models: Mapping[str, ModelRules]
    image_names: tuple[str, ...]
    mask_names: tuple[str, ...]
    mask_style: str

    @property
    def alias_names(self) -> tuple[str, ...]:
        return tuple(name for alias in self.aliases for name in alias.names)

    def model_of(self, name: str | None, *, edit: bool) -> str | None:
        """Return the model that an alias stands for, or that draws where none is named; None where the name is no alias."""
        if name is None:
            return self.default.of(edit=edit)
        return next((alias.roles.of(edit=edit) for alias in self.aliases if alias.fits(name)), None)

    def options_of(self, model: str, parameter: str, value: str) -> Options | None:
        """Return what a value means for a model; None where there is no rule for it."""
        rules = self.models.get(model)
        return rules.options.get(parameter, {}).get(value) if rules else None

    def images_of(self, spec: ModelSpec) -> tuple[Param, ...]:
        """Return where pictures to edit go, in the order in which they are given: into one that takes several, or one into each."""
        images = {name: param for name, param in spec.params.items() if param.takes_images and name not in self.mask_names}
        required = tuple(param for name, param in images.items() if name in spec.required_inputs)
        return required or tuple(images[name] for name in self.image_names if name in images)[:1]

    def mask_of(self, spec: ModelSpec) -> Param | None:
        """Return where a model takes a mask."""
        return next((spec.params[name] for name in self.mask_names if name in spec.params), None)

    def mask_style_of(self, model: str) -> str:
        rules = self.models.get(model)
        return (rules.mask_style if rules else None) or self.mask_style


def load_openai_rules(registry: Registry, *folders: Path) -> OpenAIRules:
    """Read the file of the last folder that has one, by default the one that ships with the project. Raises RegistryError."""
    paths = [folder / OPENAI_FILE for folder in (Path(__file__).parent, *folders)]
    table = read_toml(next(path for path in reversed(paths) if path.exists() or path == paths[0]))
    parameters = {name: _parameter(inner) for name, inner in _tables(table.table("parameters"))}
    images, masks = table.table("images"), table.table("masks")
    rules = OpenAIRules(
        default=_roles(table.table("default"), registry),
        aliases=tuple(_alias(entry, registry) for entry in table.tables("aliases")),
        parameters=parameters,
        models={name: _model(inner, registry, name, (*parameters, SIZE)) for name, inner in _tables(table.table("models"))},
        image_names=images.names("inputs"),
        mask_names=masks.names("inputs"),
        mask_style=_mask_style(masks, "style") or MASK_STYLES[0],
    )
    for inner in (images, masks, table):
        inner.finish()
    _check_roles(rules, registry, table)
    return rules


def _tables(table: Table) -> list[tuple[str, Table]]:
    return [(name, table.table(name)) for name in table.values]


def _roles(table: Table, registry: Registry) -> Roles:
    named = {role: table.text(role) for role in ("generate", "edit")}
    for role, name in named.items():
        if registry.get(name) is None:
            raise table.fail(role, f"there is no model '{name}'.{did_you_mean(name, registry.names)}")
    return Roles(**named)


def _alias(table: Table, registry: Registry) -> Alias:
    alias = Alias(names=table.names("names"), patterns=table.names("patterns"), roles=_roles(table, registry))
    table.finish()
    for name in alias.names:
        if registry.get(name):
            raise table.fail("names", f"'{name}' is a model of its own; remove it here")
    return alias


def _parameter(table: Table) -> Parameter:
    parameter = Parameter(values=table.names("values"), needs_rule=table.names("needsRule"))
    table.finish()
    for value in parameter.needs_rule:
        if value not in parameter.values:
            raise table.fail("needsRule", f"'{value}' is not among the values")
    return parameter


def _model(table: Table, registry: Registry, name: str, known: tuple[str, ...]) -> ModelRules:
    spec = registry.get(name)
    if spec is None:
        raise table.fail("", f"there is no model '{name}'.{did_you_mean(name, registry.names)}")
    style = _mask_style(table, "mask")
    options = {parameter: _options(table.table(parameter), spec) for parameter in known if parameter in table}
    table.finish()
    return ModelRules(options=options, mask_style=style)


def _options(table: Table, spec: ModelSpec) -> dict[str, Options]:
    """Return the options of each value, checked as those of a request are."""
    names = accepted(spec)
    found: dict[str, Options] = {}
    for value, inner in _tables(table):
        found[value] = {name: inner.raw(name) for name in inner.values}
        for name, option in found[value].items():
            if name not in names:
                raise inner.fail(name, f"the model has no such option.{did_you_mean(name, names)}")
            for pointer, detail in faults(names[name], option):
                raise inner.fail(name + pointer, detail)
    return found


def _mask_style(table: Table, key: str) -> str | None:
    style = table.optional_text(key)
    if style is not None and style not in MASK_STYLES:
        raise table.fail(key, f"must be one of {', '.join(MASK_STYLES)}")
    return style


def _check_roles(rules: OpenAIRules, registry: Registry, table: Table) -> None:
    """Raise RegistryError where somebody who draws needs pictures, or who edits takes none."""
    for roles in (rules.default, *(alias.roles for alias in rules.aliases)):
        draws, edits = registry.get(roles.generate), registry.get(roles.edit)
        if draws is not None and any(draws.params[name].takes_images for name in draws.required_inputs):
            raise table.fail("generate", f"'{roles.generate}' needs pictures; name a model that draws from words")
        if edits is not None and not rules.images_of(edits):
            raise table.fail("edit", f"'{roles.edit}' takes no pictures; name a model that edits")
