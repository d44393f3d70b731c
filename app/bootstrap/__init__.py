"""The composition root: the one place that picks and builds stores, clients and services. Opens nothing: each connects at first use.

`build.py` tells the order; each other module builds one area. Nobody outside of this package imports from inside of it.
"""

from __future__ import annotations

from app.bootstrap.build import build_services
from app.bootstrap.catalog import open_registry
from app.bootstrap.clients import check_receipts, open_platform
from app.bootstrap.services import Services
from app.bootstrap.stores import check_addresses

__all__ = ["Services", "build_services", "check_addresses", "check_receipts", "open_platform", "open_registry"]
