"""The gateway's web application.

Importing this package imports nothing else: `python -m app` runs this file before `__main__` has monkey-patched, and whatever is imported
unpatched by then (pymongo, for one) stays so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.bootstrap import Services
    from app.config import Settings


def create_app(settings: Settings, services: Services) -> Flask:
    """Return the WSGI application; the same for every server, test and tool."""
    from app.api.application import build  # noqa: PLC0415 - see above

    return build(settings, services)
