"""What the answer to an order in OpenAI's words must know of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """How a caller wants to be answered, whatever became of the order.

    ``response`` holds "url", "b64_json" or both. ``output_format`` and ``output_compression`` are None where the
    caller named none: the picture then stays as it is. ``model`` is the name that the caller gave, often an alias.
    """

    edit: bool
    stream: bool
    response: frozenset[str]
    output_format: str | None
    output_compression: int | None
    model: str
