"""Addresses that lead nowhere: the answer names the nearest one that does, as JSON, or as a page where a browser asks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from urllib.parse import quote

from flask import Flask, Response, current_app, request
from markupsafe import escape
from werkzeug.exceptions import NotFound

from app.api.http.errors import Fault, is_of_another_shape, told

#: Comparing costs time by the length; no address of ours is half as long.
MAX_CHARS = 120
#: How alike two addresses are at least, from 0 to 1.
ALIKE = 0.7
ANY_WORD, AN_END, OTHER_METHOD = 0.65, 0.9, 0.02
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PLACE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Nothing here</title>
<h1>There is nothing at {path}</h1>
{nearest}
<p><a href="/">The Studio</a> makes pictures; <a href="/api-docs/">the API documents</a> have every address.</p>
</html>
"""


def init_app(app: Flask) -> None:
    app.register_error_handler(NotFound, _answer)


def _answer(error: NotFound) -> Response:
    if request.url_rule is not None:  # A route of ours says so itself.
        return told(Fault(status=404, code="not_found", message=error.description or error.name))
    nearest = nearest_to(current_app, request.method if request.method in METHODS else "GET", request.path)
    if _is_for_a_browser():
        return _page(nearest)
    also = f" The nearest is {nearest}." if nearest else ""
    message = f"There is no {request.method} {quote(request.path[:MAX_CHARS])} here.{also} All addresses: /api-docs"
    return told(Fault(status=404, code="not_found", message=message, details={"nearest": nearest} if nearest else None))


def nearest_to(app: Flask, method: str, path: str) -> str | None:
    """Return the route most like a request, such as `GET /api/jobs/{job_id}`; None where none is like it."""
    if len(path) > MAX_CHARS:
        return None
    # Without /api is how it is most often typed.
    tried = [_steps(start + path) for start in (("",) if path.startswith("/api/") else ("", "/api"))]
    ranked = [(max(_likeness(route, own, method) for own in tried), route) for route in _routes(app)]
    likeness, best = max(ranked, key=lambda pair: pair[0])
    return f"{best.verb} {best.shown}" if likeness >= ALIKE else None


@dataclass(frozen=True)
class Route:
    verb: str
    shown: str
    steps: tuple[str, ...]


@lru_cache(maxsize=4)
def _routes(app: Flask) -> list[Route]:
    rules = [(rule, PLACE.sub(r"{\1}", rule.rule)) for rule in app.url_map.iter_rules() if not rule.rule.startswith("/ui/")]
    return [Route(verb, shown, _steps(shown)) for rule, shown in rules for verb in METHODS if verb in (rule.methods or ())]


def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))


def _likeness(route: Route, own: tuple[str, ...], method: str) -> float:
    """Return how alike they are, from 0 to 1, step by step; where a route takes any word that is worth less than the right one."""
    if len(route.steps) != len(own):
        return AN_END if len(own) < len(route.steps) and route.steps[-len(own) :] == own else 0.0
    steps = [ANY_WORD if step.startswith("{") else _alike(step, word) for step, word in zip(route.steps, own, strict=True)]
    return sum(steps) / len(steps) - (0.0 if route.verb == method else OTHER_METHOD)


@lru_cache(maxsize=4096)
def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _is_for_a_browser() -> bool:
    accepted = request.accept_mimetypes
    return request.method in ("GET", "HEAD") and not is_of_another_shape() and accepted["text/html"] > accepted["application/json"]


def _page(nearest: str | None) -> Response:
    text = f"<p>The nearest address is <code>{escape(nearest)}</code>.</p>" if nearest else ""
    response = Response(PAGE.format(path=f"<code>{escape(request.path[:MAX_CHARS])}</code>", nearest=text), status=404)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept"
    return response
