"""What an image costs a signed-in user in tokens, whichever endpoint it is ordered at: no endpoint is a way around the balance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.job import Operation
from app.services.orders import Order
from registry.loader import Registry
from registry.operations import OperationSpec
from registry.spec import ModelSpec, Param


class TokenPrices:
    def __init__(self, *, registry: Registry, operations: Mapping[str, OperationSpec]) -> None:
        self._registry = registry
        self._operations = operations

    def of(self, operation: Operation) -> int:
        """Return the tokens of one image of a web app's own operation."""
        return self._operations[operation].tokens_per_image

    def with_tokens(self, order: Order) -> Order:
        """Return a signed-in user's order at the script API with its token price."""
        return replace(order, tokens_per_image=self.at_script_api(order.model))

    def at_script_api(self, model: str) -> int:
        """Return the tokens of one image at the script API: models that take images cost what an image reference costs."""
        spec = self._registry.get(model)
        takes_images = spec is not None and any(param.type == "image" for param in _with_items(spec))
        return self.of(Operation.IMAGE_REFERENCE if takes_images else Operation.GENERATE)


def _with_items(spec: ModelSpec) -> list[Param]:
    return [*spec.params.values(), *(param.items for param in spec.params.values() if param.items)]
