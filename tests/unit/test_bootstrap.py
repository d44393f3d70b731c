"""What the composition root builds: every part once, of the parts that its class asks for."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import attrs
import pytest

from app.bootstrap import Services, built_once
from app.clients.storage import Storage
from app.config import load_settings

PARTS = sorted(name for name, value in vars(Services).items() if isinstance(value, built_once))


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    """The services of settings whose stores nobody asks for anything."""
    folder: Path = tmp_path_factory.mktemp("services")
    addresses = {"MONGODB_URI": "mongodb://127.0.0.1:9/x", "REDIS_URL": "redis://127.0.0.1:9/0", "STORAGE_URL": f"file://{folder}"}
    return Services(load_settings({**addresses, "FAL_KEY": "key", "JWT_SECRET": "s" * 32, "RECEIPTS_DIR": str(folder)}))


@pytest.mark.parametrize("name", PARTS)
def test_each_part_is_built_once_and_of_parts_of_the_right_kinds(services: Services, name: str) -> None:
    part = getattr(services, name)

    assert getattr(services, name) is part
    for field, kind in _fields_of(type(part)).items():
        assert isinstance(getattr(part, field), kind), field


def _fields_of(cls: type) -> dict[str, type]:
    """Return the classes of what a part is made of, where it names them; a protocol cannot be asked."""
    if not attrs.has(cls):
        return {}
    kinds = {field.name: get_type_hints(cls)[field.name] for field in attrs.fields(cls)}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and kind not in (Storage, float)}
