"""The models and what can be asked of them, read from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.config import Settings
from app.services.orders.order import Prices
from registry.loader import PromptTemplates, Registry, default_folder, load_prompt_templates, load_registry
from registry.operations import OperationSpec, load_operations


@dataclass(frozen=True)
class Catalog:
    registry: Registry
    operations: Mapping[str, OperationSpec]
    templates: PromptTemplates
    prices: Prices


def build_catalog(settings: Settings) -> Catalog:
    """Return what the files say. Raises RegistryError."""
    registry = open_registry(settings)
    operations = load_operations()
    return Catalog(
        registry=registry,
        operations=operations,
        templates=load_prompt_templates(),
        prices=Prices(registry=registry, operations=operations, tokens_per_usd=settings.tokens_per_usd),
    )


def open_registry(settings: Settings) -> Registry:
    """Read the models that ship with the project and those of `REGISTRY_PATH`, with `MAX_MEGAPIXELS`. Raises RegistryError."""
    found = load_registry(default_folder(), *([settings.registry_path] if settings.registry_path else []))
    return found.limited(settings.max_megapixels)
