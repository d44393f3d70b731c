"""Models beside fal, and new ones, for administrators."""

from __future__ import annotations

from typing import Any

from app.api.http import examples, services
from app.api.http.access import needs
from app.api.http.auth import caller
from app.api.http.requests import ApiBlueprint
from app.api.schemas import models as schemas
from app.domain.api_key import Scope
from app.domain.audit import Action
from app.domain.run import Run, RunKind

blueprint = ApiBlueprint("admin-models", __name__, url_prefix="/api/admin/models", description="Models, and what fal says of them")


@blueprint.get("")
@needs(Scope.ADMIN)
@blueprint.response(200, schemas.ModelsOverviewAnswer)
@blueprint.errors(401, 403)
def list_models() -> dict[str, Any]:
    """List every model: its price and where it is from, how well and fast it works, where it differs from fal (administrators)."""
    return {**vars(services().model_overview.look()), "can_save": services().model_saving.can_save}


@blueprint.post("/check")
@needs(Scope.ADMIN)
@blueprint.response(202, schemas.CheckAnswer)
@blueprint.errors(401, 403, 409)
def check_models() -> Run:
    """Have every model compared with what fal says of it now (administrators). It takes a minute; the list tells how far it is."""
    return services().runs.start(RunKind.MODELS, caller().actor.id)


@blueprint.post("/import")
@needs(Scope.ADMIN)
@blueprint.arguments(schemas.ImportBody, examples=examples.MODEL_IMPORT)
@blueprint.response(200, schemas.ImportAnswer)
@blueprint.errors(400, 401, 403, 404, 500)
def import_model(body: dict[str, Any]) -> Any:
    """Draft the file of a new model from what fal says of an endpoint (administrators).

    Without `save` nothing is written: look at the text, download it, correct it. With `save` it is put into the folder of `REGISTRY_PATH`,
    if this process may write there and there is no model of the name; it is in use everywhere within five seconds.
    """
    saving, endpoint = services().model_saving, body["endpoint"]
    action = Action.MODEL_SAVE if body["save"] else Action.MODEL_IMPORT
    with services().audit.record(caller().actor, action, f"endpoint:{endpoint}"[:300], {"name": body["name"]}) as result:
        proposal = saving.propose(endpoint, name=body["name"], per_image=body["cost_per_image"])
        result["name"] = proposal.draft.name
        if body["save"]:
            saving.save(proposal)
    return {"proposal": proposal, "saved": body["save"]}
