"""Reads folders of model files into a Registry."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from registry.model_file import read_model
from registry.prompts import PromptTemplates, load_prompt_templates
from registry.spec import ModelSpec, RegistryError
from registry.table import did_you_mean, shown

__all__ = [
    "OPENAI_FILE",
    "PromptTemplates",
    "Registry",
    "RegistryError",
    "default_folder",
    "load_prompt_templates",
    "load_registry",
]

#: Not a model: it stands beside them in a folder of the operator's, see `registry.openai`.
OPENAI_FILE = "openai.toml"


class Registry:
    """The models by name, in the order of their names."""

    def __init__(self, specs: dict[str, ModelSpec]) -> None:
        self._specs = {name: specs[name] for name in sorted(specs)}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._specs)

    def get(self, name: str) -> ModelSpec | None:
        return self._specs.get(name)

    def limited(self, max_megapixels: float) -> "Registry":
        """Return the same models, with a largest image for each whose file names none."""
        specs = {spec.name: replace(spec, max_megapixels=spec.max_megapixels or max_megapixels) for spec in self}
        return Registry(specs)

    def become(self, other: "Registry") -> None:
        """Have the models of another from now on, all at once. Whoever holds this registry has them too; what was got of it stays."""
        self._specs = other._specs  # noqa: SLF001 - its own kind

    def __iter__(self) -> Iterator[ModelSpec]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)


def default_folder() -> Path:
    """Return the folder of the models that ship with the project."""
    return Path(__file__).parent / "models"


def load_registry(*folders: Path) -> Registry:
    """Read every `*.toml` of the folders (none given: the default one); later folders add.

    Raises RegistryError for the first fault, also for a model of the same name in two folders.
    """
    specs: dict[str, ModelSpec] = {}
    for folder in folders or (default_folder(),):
        if not folder.is_dir():
            raise RegistryError(shown(folder), "", "is not a folder; make it or correct the path")
        for path in sorted(path for path in folder.glob("*.toml") if path.name != OPENAI_FILE):
            spec = read_model(path)
            if spec.name in specs:
                first = specs[spec.name].file
                raise RegistryError(spec.file, "", f"the model '{spec.name}' is already in {first}; rename or remove one")
            specs[spec.name] = spec
    for spec in specs.values():
        _check_variants(spec, specs)
    return Registry(specs)


def _check_variants(spec: ModelSpec, specs: dict[str, ModelSpec]) -> None:
    for index, variant in enumerate(spec.variants):
        target = specs.get(variant.model)
        key = f"variants[{index}].model"
        if target is None:
            hint = did_you_mean(variant.model, specs)
            raise RegistryError(spec.file, key, f"there is no model '{variant.model}'; add its file or correct it.{hint}")
        if target.variants:
            raise RegistryError(spec.file, key, f"'{variant.model}' has variants of its own; name the last one")
        if variant.when_input not in target.params:
            raise RegistryError(spec.file, key, f"'{variant.model}' has no parameter '{variant.when_input}'; add it there")
