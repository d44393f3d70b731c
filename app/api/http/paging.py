"""Lists: an opaque cursor over ids that sort by time, newest first."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import marshmallow as ma
from flask import Response, request

from app.domain import clock
from app.domain.errors import FieldError, InvalidRequest

DEFAULT_LIMIT, MAX_LIMIT = 20, 100


def limit_field() -> ma.fields.Integer:
    return ma.fields.Integer(
        load_default=DEFAULT_LIMIT,
        validate=ma.validate.Range(1, MAX_LIMIT),
        metadata={"description": f"How many at most, 1 to {MAX_LIMIT}."},
    )


def cursor_field() -> ma.fields.String:
    return ma.fields.String(load_default=None, metadata={"description": "`cursor.next` of the page before."})


def id_of(cursor: str | None) -> str | None:
    """Return the id a cursor stands for. Raises InvalidRequest for anything that was never handed out."""
    return place_of(cursor, clock.is_id)


def place_of(cursor: str | None, is_place: Callable[[str], object]) -> str | None:
    """Return the text a cursor stands for, or None without one. Raises InvalidRequest where `is_place` does not know the text."""
    if cursor is None:
        return None
    found = plain(cursor)
    if not is_place(found):
        raise InvalidRequest("cursor: not a cursor of this list", [FieldError("/cursor", "Not a cursor of this list.")])
    return found


def opaque(place: str) -> str:
    """Return the cursor that stands for a place in a list."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def plain(cursor: str) -> str:
    """Return the text behind a cursor; an empty one where there is none."""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""


def cut(found: Sequence[Any], limit: int) -> tuple[list[Any], dict[str, Any]]:
    """Split limit + 1 found items into a page and its `cursor` object."""
    page = list(found[:limit])
    more = len(found) > limit
    last = opaque(page[-1].id) if more else None
    return page, {"next": last, "hasMore": more}


def with_link(response: Response, cursor: dict[str, Any]) -> Response:
    """Add `Link: <…>; rel="next"` (RFC 8288) where there is a next page."""
    if cursor["hasMore"]:
        query = [(k, v) for k, v in request.args.items(multi=True) if k != "cursor"] + [("cursor", cursor["next"])]
        response.headers["Link"] = f'<{request.path}?{urlencode(query)}>; rel="next"'
    return response
