"""What an image costs a signed-in user in tokens, whichever endpoint it is ordered at: no endpoint is a way around the balance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.domain.job import Operation
from app.services.orders.order import Order
from registry.loader import Registry
from registry.operations import OperationSpec
from registry.spec import ModelSpec, Param


class TokenPrices:
    """`per_usd` tokens for each USD of an image's price, but never less than its operation's own price in tokens."""

    def __init__(self, *, registry: Registry, operations: Mapping[str, OperationSpec], per_usd: int) -> None:
        self._registry = registry
        self._operations = operations
        self._per_usd = per_usd

    def with_tokens(self, order: Order) -> Order:
        """Return an order as one that its user pays for in tokens."""
        return replace(order, least_tokens=self._least(order.operation, order.model), tokens_per_usd=self._per_usd)

    def _least(self, operation: Operation, model: str) -> int:
        """Return the least tokens of one image. At the script API models that take images cost what an image reference costs."""
        spec = self._registry.get(model) if operation is Operation.GENERATE else None
        takes_images = spec is not None and any(param.type == "image" for param in _with_items(spec))
        return self._operations[Operation.IMAGE_REFERENCE if takes_images else operation].tokens_per_image


def _with_items(spec: ModelSpec) -> list[Param]:
    return [*spec.params.values(), *(param.items for param in spec.params.values() if param.items)]
