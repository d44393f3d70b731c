"""Who is behind the ids that jobs, sums and the audit log name, for administrators."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from app.api.http import services
from app.api.http.access import needs
from app.api.http.answers import Answer
from app.api.http.requests import ApiBlueprint, BodySchema
from app.api.schemas.fields import no_nul
from app.domain.api_key import Scope

blueprint = ApiBlueprint("admin-names", __name__, url_prefix="/api/admin/names", description="Who is behind an id")

MAX_IDS, MAX_ID_CHARS = 100, 300


class NamesQuery(BodySchema):
    ids = ma.fields.List(
        ma.fields.String(validate=[ma.validate.Length(1, MAX_ID_CHARS), no_nul]),
        data_key="id",
        required=True,
        validate=ma.validate.Length(1, MAX_IDS),
        metadata={"description": "`user:<id>` or `key:<id>`; may be repeated."},
    )


class NamesAnswer(Answer):
    names = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        metadata={"description": "The address of each user and the name of each key; those that have none are left out."},
    )


@blueprint.get("")
@needs(Scope.ADMIN)
@blueprint.arguments(NamesQuery, location="query")
@blueprint.response(200, NamesAnswer)
@blueprint.errors(400, 401, 403)
def show_names(query: dict[str, Any]) -> dict[str, Any]:
    """Show the addresses of users and the names of keys, of up to 100 ids at once (administrators)."""
    return {"names": services().names.of(query["ids"])}
