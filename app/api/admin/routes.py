"""All routes below `/api/admin`."""

from __future__ import annotations

from app.api.admin import audit, costs, jobs, models, names, people, spend, status, webhooks

BLUEPRINTS = (
    jobs.blueprint,
    people.users,
    people.keys,
    names.blueprint,
    audit.blueprint,
    status.blueprint,
    spend.blueprint,
    costs.blueprint,
    models.blueprint,
    webhooks.blueprint,
)
