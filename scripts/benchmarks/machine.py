"""What the figures were measured on. No names and no paths: the page is public."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version

import psutil

SHOWN = ("fal-client", "rq", "pymongo", "redis", "eventlet", "flask")


def facts(embedded: set[str]) -> list[str]:
    """Return one line per fact; `embedded` names the stand-ins that ran in place of real servers."""
    memory = psutil.virtual_memory().total / 2**30
    stores = "an embedded stand-in" if "mongo" in embedded else "mongod"
    versions = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    return [
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        f"MongoDB: {stores}; Redis, storage folder, emulator and load generator on the same machine, so take the ratios",
        f"{versions}; {sys.implementation.name}",
    ]
