"""All that is kept of one user: to take along, and to have deleted."""

from __future__ import annotations

from flask import Flask, Response
from werkzeug.routing import BaseConverter

from app.api.http import services
from app.api.http.access import needs_caller, needs_caller_even_departing
from app.api.http.auth import caller
from app.api.http.exports import exported
from app.api.http.requests import ApiBlueprint
from app.api.schemas import people as schemas
from app.api.schemas.fields import checked_user_id
from app.api.schemas.jobs import ExportFormat
from app.domain.api_key import Scope
from app.domain.audit import Action
from app.domain.errors import NotFound
from app.services.privacy.departures import Progress

blueprint = ApiBlueprint("people", __name__, url_prefix="/api/users", description="All that is kept of one user")
NOBODY = "No such user"
NDJSON = {"200": {"description": "One record a line.", "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}


class AnyUser(BaseConverter):
    """A user's id in an address, whatever characters it has: with a slash at its start as well, which a redirect would take away."""

    part_isolating = False
    regex = ".+?"
    weight = 200


def init_app(app: Flask) -> None:
    app.url_map.converters["user"] = AnyUser


@blueprint.get("/<user:user_id>/export")
@needs_caller
@blueprint.doc(responses=NDJSON)
@blueprint.errors(400, 401, 403, 404)
def export_user(user_id: str) -> Response:
    """Export all that is kept of a user as NDJSON: its account, jobs, pictures with links, uploads, usage, ledger.

    A line's `record` says what it is. Yourself; administrators, anybody; a key, the users it may read. A last line that begins with
    `# incomplete` means that an error cut it off.
    """
    whose = _readable(checked_user_id(user_id))
    lines = schemas.lines(services().user_export.of(whose), services().links)
    return exported("user-data", ExportFormat.NDJSON, lines, ())


@blueprint.delete("/<user:user_id>/data")
@needs_caller_even_departing
@blueprint.response(200, schemas.DepartureAnswer)
@blueprint.alt_response(202, schema=schemas.DepartureAnswer, description="It goes on by itself; ask again to see how far it is.")
@blueprint.errors(400, 401, 403, 404, 409)
def delete_user_data(user_id: str) -> tuple[Progress, int, dict[str, str]]:
    """Delete all that is kept of a user, for good: pictures, uploads, prompts, jobs, webhooks, keys, sessions, account.

    What runs is canceled first; what fal finishes all the same is charged, and then deleted. Nothing can be ordered for the user
    meanwhile (409 `being_deleted`). Costs and the ledger stay under a name that leads to nobody. 200: all is gone. 202: ask again, or leave
    it: the service goes on by itself. Yourself, from the session that asks; administrators, anybody.
    """
    progress = _deleted(checked_user_id(user_id))
    return progress, 200 if progress.is_done else 202, {} if progress.is_done else {"Retry-After": "2"}


def _deleted(user_id: str) -> Progress:
    """Delete what the caller may delete; an administrator's is written to the audit log. Raises NotFound, Forbidden, Unauthorized."""
    who = caller()
    if who.account and who.account.id == user_id:
        return services().departures.erase(user_id, kept_session=who.session.id if who.session else None)
    if who.account and not who.is_administrator:
        raise NotFound(NOBODY)
    who.require_scope(Scope.ADMIN)
    with services().audit.record(who.actor, Action.USER_DATA_DELETE, f"user:{user_id}") as result:
        progress = services().departures.erase(user_id)
        result["done"] = progress.is_done
    return progress


def _readable(user_id: str) -> str:
    """Return the user that the caller may read all of. Raises NotFound, Forbidden, Unauthorized."""
    who = caller()
    if who.is_administrator:
        return user_id
    who.require_scope(Scope.READ)
    if who.account and who.account.id != user_id:
        raise NotFound(NOBODY)
    return who.acts_for(user_id)
