"""Prompt templates of the registry."""

from __future__ import annotations

from flask import Response

from app.api.http.access import open_to_all
from app.api.http.context import services
from app.api.http.envelope import envelope_of, enveloped
from app.api.http.requests import ApiBlueprint
from app.api.schemas.generations import TemplatesAnswer

blueprint = ApiBlueprint("templates", __name__, url_prefix="/api/prompt-templates", description="Prompt templates")


@blueprint.get("")
@open_to_all
@blueprint.response(200, envelope_of(TemplatesAnswer))
def list_templates() -> Response:
    """List the prompt templates that `promptTemplateId` of text-to-image may name."""
    templates = [{"id": t.id, "name": t.name, "description": t.description, "preview": t.preview} for t in services().templates.templates]
    return enveloped("OK", {"templates": templates})
