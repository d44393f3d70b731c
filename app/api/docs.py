"""`/openapi.json` (3.1) and `/api-docs` (Swagger UI from a bundled package, no CDN)."""

from __future__ import annotations

from flask import Flask
from flask_smorest import Api
from flask_swagger_ui import get_swaggerui_blueprint

from app.api.schemas import ErrorAnswer

DESCRIPTION = """One endpoint for every fal.ai image model, with stored pictures, job history and cost per user.

Errors have one body, with a stable `code`; validation failures are 400. Lists are newest first with an opaque `cursor`."""


class DocumentedApi(Api):  # type: ignore[misc]
    """Documents our error body; the handlers themselves are in `errors.py`."""

    ERROR_SCHEMA = ErrorAnswer

    def _register_error_handlers(self) -> None:
        """Leave errors to `errors.py`: one body for all of them."""


def init_app(app: Flask) -> DocumentedApi:
    app.config.update(
        API_TITLE="Image generation gateway",
        API_VERSION="1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION},
            "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        },
    )
    api = DocumentedApi(app)
    ui = get_swaggerui_blueprint("/api-docs", "/openapi.json", config={"app_name": "Image generation gateway"})
    app.register_blueprint(ui)
    return api
