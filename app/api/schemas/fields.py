"""Fields that many bodies and queries have."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import marshmallow as ma

from app.domain.errors import FieldError, InvalidRequest

MAX_USER_ID_CHARS = 256
MAX_METADATA_KEYS = 50
MAX_RETAIN_DAYS = 36500


def no_nul(value: str) -> None:
    if "\0" in value or any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        raise ma.ValidationError("Must not contain NUL or lone surrogates.")


def metadata_key(key: str) -> None:
    if not 1 <= len(key) <= 64 or key.startswith("$") or "." in key or "\0" in key:
        raise ma.ValidationError(f"Key {key!r}: use 1 to 64 characters, no dot, no leading $.")


def _metadata(value: dict[str, Any]) -> None:
    """Flat, small, and without the characters a document store gives a meaning to."""
    if len(value) > MAX_METADATA_KEYS:
        raise ma.ValidationError(f"At most {MAX_METADATA_KEYS} keys.")
    for key, item in value.items():
        metadata_key(key)
        if not isinstance(item, str | int | float | bool) or len(str(item)) > 500:
            raise ma.ValidationError(f"Value of {key!r}: use a string, number or boolean of at most 500 characters.")
        if isinstance(item, str):
            no_nul(item)


def user_id_field(**kwargs: Any) -> ma.fields.String:
    length = ma.validate.Length(1, MAX_USER_ID_CHARS)
    return ma.fields.String(data_key="userId", load_default=None, validate=[length, no_nul], **kwargs)


def text_field(key: str, longest: int = 128) -> ma.fields.String:
    return ma.fields.String(data_key=key, load_default=None, validate=[ma.validate.Length(1, longest), no_nul])


def checked_user_id(user_id: str) -> str:
    """Return a user's id out of an address. Raises InvalidRequest for what cannot be one."""
    try:
        return str(user_id_field().deserialize(user_id))
    except ma.ValidationError as exc:
        raise InvalidRequest(f"userId: {exc.messages[0]}", [FieldError("/userId", str(exc.messages[0]))]) from exc


class WholeNumber(ma.fields.Integer):
    """Takes the text of a form, but neither true nor 2.5, which marshmallow would make 1 and 2."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


def retain_days_field() -> ma.fields.Integer:
    """What is not given is left out, so that a body from before says the same as ever."""
    help_ = "How many days after its end the job is kept, its pictures, prompt and inputs; the operator's own number may be smaller."
    return WholeNumber(
        data_key="retainDays", validate=ma.validate.Range(1, MAX_RETAIN_DAYS), metadata={"description": help_, "example": 30}
    )


def usd_to(most: int) -> Callable[[Decimal], None]:
    """Return the check of an amount in USD. marshmallow's own range of decimals cannot be written into OpenAPI."""

    def check(amount: Decimal) -> None:
        if not (amount.is_finite() and 0 <= amount <= most):
            raise ma.ValidationError(f"Must be USD from 0 to {most}.")

    return check


def metadata_field() -> ma.fields.Dict:
    return ma.fields.Dict(keys=ma.fields.String(), load_default=dict, validate=_metadata)
