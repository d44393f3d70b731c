"""All routes below `/api/admin`."""

from __future__ import annotations

from app.api.admin import audit

BLUEPRINTS = (audit.blueprint,)
