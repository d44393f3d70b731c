"""All routes below `/api/admin`."""

from __future__ import annotations

from app.api.admin import audit, costs, jobs, models, spend, status

BLUEPRINTS = (jobs.blueprint, audit.blueprint, status.blueprint, spend.blueprint, costs.blueprint, models.blueprint)
