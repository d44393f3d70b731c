"""How a route reaches the services: one look-up."""

from __future__ import annotations

from typing import cast

from flask import current_app

from app.bootstrap import Services


def services() -> Services:
    return cast("Services", current_app.extensions["services"])
