"""Cursors that lead both ways through a list of jobs and know which list they belong to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from app.api.http import paging
from app.domain import clock
from app.domain.errors import FieldError, InvalidRequest
from app.domain.job_filter import JobFilter
from app.services.reports.history import Cut, JobPage

OLDER, NEWER = "o", "n"


def cut_of(cursor: str | None, wanted: JobFilter) -> Cut | None:
    """Return where a cursor leads. Raises InvalidRequest for one that was never handed out, or not for this filter."""
    if cursor is None:
        return None
    try:
        side, job_id, digest = paging.plain(cursor).split(".")
    except ValueError:
        side, job_id, digest = "", "", ""
    if side not in (OLDER, NEWER) or not clock.is_id(job_id):
        raise _refused("Not a cursor of this list.")
    if digest != wanted.digest:
        raise _refused("This cursor belongs to another query; a cursor goes with the filters of the page it came with.")
    return Cut(job_id, newer=side == NEWER)


def cursor_view(page: JobPage, wanted: JobFilter) -> dict[str, Any]:
    return {"next": _text(page.next, wanted), "previous": _text(page.previous, wanted), "hasMore": page.next is not None}


def with_links(response: Response, cursor: dict[str, Any]) -> Response:
    """Add `Link: <…>; rel="next", <…>; rel="prev"` (RFC 8288) as far as there are such pages."""
    query = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
    places = (("next", cursor["next"]), ("prev", cursor["previous"]))
    links = [f'<{request.path}?{urlencode([*query, ("cursor", place)])}>; rel="{rel}"' for rel, place in places if place]
    if links:
        response.headers["Link"] = ", ".join(links)
    return response


def _text(cut: Cut | None, wanted: JobFilter) -> str | None:
    if cut is None:
        return None
    return paging.opaque(f"{NEWER if cut.newer else OLDER}.{cut.job_id}.{wanted.digest}")


def _refused(detail: str) -> InvalidRequest:
    return InvalidRequest(f"cursor: {detail}", [FieldError("/cursor", detail)])
