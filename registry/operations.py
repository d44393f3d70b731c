"""The web app's operations: model and tokens of each, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.table import Table, read_toml

NAMES = ("text_to_image", "image_reference", "generate")


@dataclass(frozen=True, kw_only=True)
class OperationSpec:
    id: str
    """operationTypeId of job records."""
    model: str | None
    """Who draws unless the caller names a model."""
    tokens_per_image: int


def load_operations(path: Path | None = None) -> Mapping[str, OperationSpec]:
    """Read the operations file, by default the one that ships with the project. Raises RegistryError."""
    table = read_toml(path or Path(__file__).parent / "operations.toml")
    operations = {}
    for name in NAMES:
        if name not in table:
            raise table.fail(name, "is missing")
        operations[name] = _operation(table.table(name))
    table.finish()
    return operations


def _operation(entry: Table) -> OperationSpec:
    tokens = entry.integer("tokensPerImage")
    if tokens is None:
        raise entry.fail("tokensPerImage", "is missing; add it")
    spec = OperationSpec(id=entry.text("id"), model=entry.optional_text("model"), tokens_per_image=tokens)
    entry.finish()
    return spec
