"""All routes below `/api/admin`."""

from __future__ import annotations

from app.api.admin import audit, jobs, spend, status

BLUEPRINTS = (jobs.blueprint, audit.blueprint, status.blueprint, spend.blueprint)
