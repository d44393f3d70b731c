"""What all routes share. How they reach the services stands here: one look-up."""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app

from app.bootstrap import Services


def services() -> Services:
    return services_of(current_app)


def services_of(app: Flask) -> Services:
    return cast("Services", app.extensions["services"])
