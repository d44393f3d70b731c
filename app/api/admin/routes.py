"""All routes below `/api/admin`."""

from __future__ import annotations

from app.api.admin import audit, spend, status

BLUEPRINTS = (audit.blueprint, status.blueprint, spend.blueprint)
