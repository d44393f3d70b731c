"""What a model is: endpoint, parameters, limits, prices. Plain records: reading and checking live elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

MAX_IMAGES = 100
"""Most images one request may ask for; above `max_images_per_call` they are split over several calls."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class RegistryError(Exception):
    """A registry file is wrong; the text names the file, the key and what to do."""

    def __init__(self, file: str, key: str, reason: str) -> None:
        super().__init__(": ".join(part for part in (file, key, reason) if part))
        self.file = file
        self.key = key
        self.reason = reason


class NoPrice(LookupError):
    """No price of the model is in force at that time: add one to its file."""

    def __init__(self, model: str, at: datetime) -> None:
        super().__init__(f"The model '{model}' has no price in force on {at.astimezone(UTC).date()}")
        self.model = model
        self.at = at


@dataclass(frozen=True, kw_only=True)
class Param:
    """One input or option, with what fal accepts for it."""

    name: str
    type: str = "any"
    """string, integer, number, boolean, image, size (preset, or width and height), array, object, any.

    any is a scalar or a list of scalars.
    """
    home: str = "inputs"
    """The object that documents it, `inputs` or `options`; optional parameters are accepted in either."""
    default: Any = None
    """fal's own default, for documentation and pricing; it is not sent. None: fal names none."""
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    pattern: str | None = None
    enum: tuple[Any, ...] = ()
    items: "Param | None" = None
    properties: Mapping[str, "Param"] = field(default_factory=dict)
    """Of an object. Empty: any property with a scalar or a list of scalars."""
    required: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    description: str = ""

    @property
    def takes_images(self) -> bool:
        return self.type == "image" or (self.items is not None and self.items.type == "image")


@dataclass(frozen=True, kw_only=True)
class Tier:
    """Replaces the amount of a price when the option has this value."""

    option: str
    equals: Any
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Extra:
    """Is added to the price of each image when the option has this value."""

    option: str
    equals: Any
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Price:
    """A list price in USD from a day on (UTC), until the next one starts."""

    id: str
    start: date
    unit: str
    """image or megapixel."""
    amount: Decimal
    tiers: tuple[Tier, ...] = ()
    extras: tuple[Extra, ...] = ()
    pixels_per_megapixel: int = 1_048_576
    assumed_megapixels: int = 1
    """Billed when the request does not say how large the image will be."""
    provider_unit: str | None = None
    provider_amount: Decimal | None = None
    """What fal charges the operator, where users are charged something else. None: the same, tiers and extras included."""
    source: str = ""
    checked: date | None = None


@dataclass(frozen=True, kw_only=True)
class Variant:
    """With a value for `when_input` the request is checked, priced and called as `model`."""

    when_input: str
    model: str


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    name: str
    fal_endpoint: str
    fal_twins: tuple[str, ...] = ()
    """Other ids by which fal knows the same endpoint. Orders that name one go to `fal_endpoint`."""
    category: str
    description: str
    params: Mapping[str, Param]
    required_inputs: tuple[str, ...]
    optional_inputs: tuple[str, ...]
    option_names: tuple[str, ...]
    default_options: Mapping[str, Any]
    """Sent whenever the caller does not say otherwise."""
    prices: tuple[Price, ...]
    """Ascending by `start`."""
    max_images_per_call: int
    max_megapixels: float | None = None
    """Millions of pixels an image may have, where the model takes a size. None: no limit but fal's own."""
    output: str = "images"
    """Key of fal's answer that holds the result: `images` (list) or `image` (one object)."""
    usual_seconds: float | None = None
    variants: tuple[Variant, ...] = ()
    documentation: str | None = None
    checked: date | None = None
    file: str = ""

    @property
    def image_params(self) -> tuple[Param, ...]:
        """The parameters that take pictures, in the order in which the model's inputs are named."""
        named = [*self.required_inputs, *self.optional_inputs, *self.option_names]
        return tuple(self.params[name] for name in named if self.params[name].takes_images)

    @property
    def takes_images(self) -> bool:
        return bool(self.image_params)
