"""Lists, newest first, with opaque cursors: one way over ids that sort by time, or both ways through a list of jobs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import marshmallow as ma
from flask import request

from app.api.http.answers import Answer
from app.domain import clock
from app.domain.errors import FieldError, InvalidRequest
from app.domain.job_filter import JobFilter
from app.services.pictures.gallery import PictureCursor
from app.services.reports.history import JobPage, PageCursor

DEFAULT_LIMIT, MAX_LIMIT = 20, 100
#: Which way the cursor of a list leads that can be followed both ways.
OLDER, NEWER = "o", "n"
#: In a gallery's cursor, in place of a picture's number: behind all of the job's.
ALL = "a"


def limit_field() -> ma.fields.Integer:
    return ma.fields.Integer(
        load_default=DEFAULT_LIMIT,
        validate=ma.validate.Range(1, MAX_LIMIT),
        metadata={"description": f"How many at most, 1 to {MAX_LIMIT}."},
    )


def cursor_field() -> ma.fields.String:
    return ma.fields.String(load_default=None, metadata={"description": "`cursor.next` of the page before."})


class CursorAnswer(Answer):
    next = ma.fields.String(allow_none=True)
    has_more = ma.fields.Boolean(data_key="hasMore")


class TwoWayCursorAnswer(Answer):
    next = ma.fields.String(allow_none=True, metadata={"description": "Leads to older jobs."})
    previous = ma.fields.String(allow_none=True, metadata={"description": "Leads back to newer jobs."})
    has_more = ma.fields.Boolean(data_key="hasMore", metadata={"description": "Whether there is a `next`."})


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


def page_of(found: Sequence[Any], limit: int) -> tuple[list[Any], dict[str, Any]]:
    """Split limit + 1 found items into a page and its `cursor` object."""
    page = list(found[:limit])
    more = len(found) > limit
    last = opaque(page[-1].id) if more else None
    return page, {"next": last, "has_more": more}


def position_of(cursor: str | None, wanted: JobFilter) -> PageCursor | None:
    """Return where a cursor leads. Raises InvalidRequest for one that was never handed out, or not for this filter."""
    if cursor is None:
        return None
    try:
        side, job_id, digest = plain(cursor).split(".")
    except ValueError:
        side, job_id, digest = "", "", ""
    if side not in (OLDER, NEWER) or not clock.is_id(job_id):
        raise _refused("Not a cursor of this list.")
    if digest != wanted.digest:
        raise _refused("This cursor belongs to another query; a cursor goes with the filters of the page it came with.")
    return PageCursor(job_id, newer=side == NEWER)


def picture_position_of(cursor: str | None, wanted: JobFilter) -> PictureCursor | None:
    """Return where a gallery's cursor leads. Raises InvalidRequest, as for a list of jobs."""
    if cursor is None:
        return None
    number, _, place = plain(cursor).partition(".")
    found = position_of(opaque(f"{OLDER}.{place}"), wanted)
    if found is None or not (number == ALL or (number.isascii() and number.isdecimal() and len(number) < 6)):
        raise _refused("Not a cursor of this list.")
    return PictureCursor(found.job_id, None if number == ALL else int(number))


def picture_cursor_of(place: PictureCursor | None, wanted: JobFilter) -> dict[str, Any]:
    if place is None:
        return {"next": None, "has_more": False}
    number = ALL if place.number is None else str(place.number)
    return {"next": opaque(f"{number}.{place.job_id}.{wanted.digest}"), "has_more": True}


def cursors_of(page: JobPage, wanted: JobFilter) -> dict[str, Any]:
    return {"next": _text(page.next, wanted), "previous": _text(page.previous, wanted), "has_more": page.next is not None}


def links(cursor: dict[str, Any]) -> dict[str, str]:
    """Return the header `Link: <…>; rel="next", <…>; rel="prev"` (RFC 8288) as far as there are such pages."""
    query = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
    places = (("next", cursor["next"]), ("prev", cursor.get("previous")))
    found = [f'<{request.path}?{urlencode([*query, ("cursor", place)])}>; rel="{rel}"' for rel, place in places if place]
    return {"Link": ", ".join(found)} if found else {}


def _text(place: PageCursor | None, wanted: JobFilter) -> str | None:
    if place is None:
        return None
    return opaque(f"{NEWER if place.newer else OLDER}.{place.job_id}.{wanted.digest}")


def _refused(detail: str) -> InvalidRequest:
    return InvalidRequest(f"cursor: {detail}", [FieldError("/cursor", detail)])
