"""Answers: schemas that dump what services return, and that OpenAPI is written from. Each field is spelled once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeVar

import marshmallow as ma

from app.api.http import services
from app.domain.clock import rfc3339
from app.domain.pricing import usd
from app.services.pictures.links import PictureLinks

F = TypeVar("F", bound=ma.fields.Field[Any])
Value = Callable[[Any], Any]
Conversion = Callable[[Any, PictureLinks | None], Any]


class Usd(ma.fields.Float):
    """An amount in USD of so many micros."""


class Link(ma.fields.Url):
    """A link to a stored file, by its key: made when it is read, as links may end."""

    def made(self, links: PictureLinks, key: str) -> str | None:
        return links.url(key)


class ThumbnailLink(Link):
    """A link to a stored picture made small."""

    def made(self, links: PictureLinks, key: str) -> str | None:
        return links.thumbnail_url(key)


class DownloadLink(Link):
    """A link that saves a stored picture under a name that tells what it is."""

    def made(self, links: PictureLinks, key: str) -> str | None:
        return links.download_url(key)


class SharedSchema(ma.Schema):
    """A schema that nobody changes, so its copy is itself: the API's document copies those of each route at each of its decorators."""

    def __deepcopy__(self, memo: Any) -> SharedSchema:
        return self


class Answer(SharedSchema):
    """A field shows the attribute of its name, of its `attribute` (with dots), or what `shows` has said; of a dict, the entry.

    What is missing in a dict, or `ma.missing`, is left out. marshmallow's own dump asks anew for each value what is worked out here once
    for each schema, and takes more than twice as long.
    """

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:  # noqa: ARG002 - marshmallow's signature
        return self.of(obj)

    @classmethod
    def of(cls, thing: Any, links: PictureLinks | None = None) -> dict[str, Any]:
        """Return the answer for an object; where no request is served, those who make links are needed."""
        shown, is_dict = {}, isinstance(thing, dict)
        for key, path, value, convert in cls._compiled():
            found = thing.get(path, ma.missing) if is_dict else value(thing)
            if found is ma.missing:
                continue
            shown[key] = found if convert is None or found is None else convert(found, links)
        return shown

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        return tuple(key for key, *_ in cls._compiled())

    @classmethod
    @functools.cache
    def _compiled(cls) -> list[tuple[str, str, Value, Conversion | None]]:
        """Return of each field its key, what it is called, how it is read of an object, and how that becomes JSON."""
        paths = {name: field.attribute or name for name, field in cls._declared_fields.items()}
        return [
            (field.data_key or name, paths[name], vars(field).get("value") or attrgetter(paths[name]), _conversion(field))
            for name, field in cls._declared_fields.items()
        ]


def shows(field: F, value: Value) -> F:
    """Let a field show what `value` makes of the whole object."""
    vars(field)["value"] = value
    return field


@functools.cache
def envelope_of(schema: type[Answer]) -> type[Answer]:
    """Return the web-app API's success body around an answer: `{success, message, data}`."""
    fields: dict[str, Any] = {"success": ma.fields.Boolean(), "message": ma.fields.String(), "data": ma.fields.Nested(schema)}
    return Answer.from_dict(fields, name=f"{schema.__name__}Envelope")  # type: ignore[return-value]


def enveloped(message: str, data: Any) -> dict[str, Any]:
    return {"success": True, "message": message, "data": data}


def _conversion(field: ma.fields.Field[Any]) -> Conversion | None:
    """Return how a field's value becomes JSON; None where it is JSON."""
    if isinstance(field, ma.fields.Nested):
        schema: type[Answer] = field.nested  # type: ignore[assignment]
        return schema.of
    if isinstance(field, ma.fields.List) and (convert := _conversion(field.inner)):
        return lambda found, links: [convert(each, links) for each in found]
    if isinstance(field, Link):
        made = field.made
        return lambda key, links: made(links or services().links, key)
    plain: Mapping[type, Value] = {Usd: usd, ma.fields.AwareDateTime: rfc3339, ma.fields.Dict: dict}
    call = plain.get(type(field))
    return (lambda found, _: call(found)) if call else None
