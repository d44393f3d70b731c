"""Imports point one way: api -> services -> stores, clients -> domain -> registry -> the standard library."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import imagegen

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.relative_to(ROOT).as_posix() for top in ("app", "workers", "registry") for path in (ROOT / top).rglob("*.py"))

#: What each layer may import of the project. Settings and logs, directly in `app/`, belong to the domain here.
ALLOWED = {
    "registry": {"registry"},
    "domain": {"domain", "registry"},
    "pictures": {"pictures", "domain"},
    "stores": {"stores", "domain", "registry"},
    "clients": {"clients", "pictures", "domain", "registry"},
    "services": {"services", "stores", "clients", "pictures", "domain", "registry"},
    "bootstrap": {"bootstrap", "services", "stores", "clients", "domain", "registry"},
    "web": {"web", "domain"},
    "api": {"api", "web", "pictures", "bootstrap", "services", "stores", "clients", "domain", "registry"},
    "imagegen": {"imagegen"},
    "operator": {"operator", "bootstrap", "services", "stores", "clients", "domain", "registry"},
    "entry": {"entry", "operator", "api", "web", "bootstrap", "services", "stores", "clients", "domain", "registry"},
    "workers": {"workers", "bootstrap", "services", "stores", "clients", "domain", "registry"},
}
#: What gives a connection: made once a process, so that none is shared over a fork and all can be closed.
OPENING = {"app.stores.database.connect", "app.clients.redis.connect_redis", "app.clients.storage.open_storage"}
#: Which rooms of `app/services` may import which. Nothing here runs in a circle, and money knows nobody.
ROOMS = {
    "money": {"money"},
    "people": {"people"},
    "events": {"events", "pictures"},
    "catalog": {"catalog"},
    "reports": {"reports"},
    "pictures": {"pictures", "reports"},
    "erasure": {"erasure", "people"},
    "privacy": {"privacy", "erasure", "orders", "people", "reports"},
    "orders": {"orders", "money", "people", "events", "erasure"},
    "deliveries": {"deliveries", "pictures"},
    # What operators ask and do, by the services that there are: it may use all of them, and none knows of it.
    "operator": {"operator", "money", "people", "catalog", "reports", "events", "orders", "deliveries", "fulfilment"},
    "fulfilment": {"fulfilment", "orders", "money", "events", "deliveries"},
}
FLASK = ("app/api/*", "app/__init__.py", "app/__main__.py")
#: Where a vendor's package may be imported; elsewhere its errors and types would have to be known too.
VENDORS = {
    "flask": FLASK,
    "flask_cors": FLASK,
    "flask_limiter": FLASK,
    "flask_smorest": FLASK,
    "flask_socketio": FLASK,
    "flask_swagger_ui": FLASK,
    "marshmallow": FLASK,
    "werkzeug": FLASK,
    "eventlet": ("app/__main__.py", "app/web/*"),
    "pymongo": ("app/stores/*",),
    "bson": ("app/stores/*",),
    "boto3": ("app/clients/bucket.py",),
    "botocore": ("app/clients/bucket.py",),
    "fal_client": ("app/clients/fal/*.py", "app/imagegen/fal.py"),
    "aiohttp": ("app/clients/fal/*.py",),
    "rq": ("app/clients/queue.py", "workers/*"),
}
ENTRIES = {"__init__.py", "__main__.py", "operator/cli.py", "web/serving.py"}
ENVIRONMENT = {
    "app/imagegen/cli.py",
    "app/imagegen/fal.py",  # It is called by other people's processes, and sets FAL_KEY there.
    "app/operator/running.py",
    "workers/__main__.py",
    "workers/alive.py",
    "workers/watcher/__main__.py",
    "workers/tasks.py",
}


def layer(path: str) -> str:
    top, *rest = path.split("/")
    if top != "app":
        return top
    if "/".join(rest) in ENTRIES:
        return "entry"
    if rest == ["bootstrap.py"]:
        return "bootstrap"
    return rest[0] if len(rest) > 1 else "domain"


def room(path: str) -> str | None:
    """Return the room of a service's module."""
    parts = path.split("/")
    return parts[2] if parts[:2] == ["app", "services"] and len(parts) > 3 else None


def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


def imported(path: str) -> Iterator[str]:
    """Yield every module that a file imports anywhere in it, those for annotations only and those inside functions included."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from app import clock` names a module, `from app.domain.job import Job` a thing inside of one.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(name: str) -> str | None:
    """Return the project's file that a dotted name comes from."""
    parts = name.split(".")
    if parts[0] == "imagegen":
        parts.insert(0, "app")
    while parts:
        stem = "/".join(parts)
        for candidate in (f"{stem}.py", f"{stem}/__init__.py"):
            if (ROOT / candidate).is_file() and candidate in MODULES:
                return candidate
        parts.pop()
    return None


@pytest.mark.parametrize("path", MODULES)
def test_a_module_imports_only_from_its_own_layer_and_below(path: str) -> None:
    sources = {source for name in imported(path) if (source := file_of(name))}

    wrong = {source for source in sources if layer(source) not in ALLOWED[layer(path)]}

    assert not wrong


@pytest.mark.parametrize("path", [path for path in MODULES if room(path)])
def test_a_room_of_the_services_imports_only_from_those_it_may(path: str) -> None:
    rooms = {found for name in imported(path) if (source := file_of(name)) and (found := room(source))}

    wrong = rooms - ROOMS[str(room(path))]

    assert not wrong


@pytest.mark.parametrize("path", [path for path in MODULES if layer(path) != "bootstrap"])
def test_only_the_composition_root_opens_stores_and_clients(path: str) -> None:
    assert not OPENING & set(imported(path))


@pytest.mark.parametrize("path", MODULES)
def test_a_vendors_package_is_imported_only_where_it_belongs(path: str) -> None:
    tops = {name.partition(".")[0] for name in imported(path)}

    wrong = {top for top in tops if top in VENDORS and not any(fnmatch(path, pattern) for pattern in VENDORS[top])}

    assert not wrong


@pytest.mark.parametrize("path", [path for path in MODULES if layer(path) == "registry"])
def test_the_registry_needs_nothing_but_the_standard_library(path: str) -> None:
    tops = {name.partition(".")[0] for name in imported(path)}

    assert tops <= sys.stdlib_module_names | {"registry"}


@pytest.mark.parametrize("path", [path for path in MODULES if layer(path) == "imagegen"])
def test_imagegen_needs_only_http_and_a_terminal(path: str) -> None:
    tops = {name.partition(".")[0] for name in imported(path)}

    assert tops <= sys.stdlib_module_names | ({"fal_client"} if path == "app/imagegen/fal.py" else {"imagegen", "click", "httpx", "rich"})


@pytest.mark.parametrize("path", MODULES)
def test_imagegen_is_known_by_the_name_it_is_installed_under(path: str) -> None:
    assert [name for name in imported(path) if name.startswith("app.imagegen")] == []


def test_what_makes_imagegen_importable_shadows_no_module_of_the_standard_library() -> None:
    folder = Path(imagegen.__file__).parents[1]

    assert Path(imagegen.__file__).resolve() == ROOT / "app/imagegen/__init__.py"
    assert [path.name for path in folder.iterdir()] == ["imagegen"]


@pytest.mark.parametrize("path", [path for path in MODULES if path not in ENVIRONMENT])
def test_only_process_entries_read_the_environment(path: str) -> None:
    names = {name for name in imported(path) if name in ("os.environ", "os.getenv")}
    uses = {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")}

    assert not names | {use for use in uses if use.startswith("os.")}


def test_the_rules_name_things_that_exist() -> None:
    assert set(MODULES) >= ENVIRONMENT
    assert {layer(path) for path in MODULES} == set(ALLOWED)
    assert {found for path in MODULES if (found := room(path))} == set(ROOMS)
    assert file_of("app.domain.job.Job") == "app/domain/job.py"
    assert file_of("app.domain.clock") == "app/domain/clock.py"
    assert file_of("imagegen.cli.main") == "app/imagegen/cli.py"
    assert file_of("redis.Redis") is None
    assert set(imported("app/bootstrap.py")) >= OPENING
