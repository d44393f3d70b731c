"""The routes of this façade."""

from __future__ import annotations

from flask import Blueprint

from app.api.fal.errors import named
from app.api.fal.orders import tell_ignored

blueprint = Blueprint("fal", __name__, url_prefix="/fal")
blueprint.after_request(named)
blueprint.after_request(tell_ignored)
