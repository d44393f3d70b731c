"""Pictures inside of orders become uploads, or leave nothing behind."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from app.domain import clock
from app.domain.asset import REFERENCE_PREFIX
from app.domain.errors import InvalidRequest
from app.services.orders.order import Order, PricedOrder, Prices
from app.services.orders.references import References
from app.services.people.uploads import Uploads
from app.stores.database import Database
from app.stores.uploads import UploadStore
from registry.loader import default_folder, load_registry
from registry.operations import load_operations
from tests.support.factories import picture
from tests.support.failing_storage import FailingStorage

GOOD, OTHER = picture(), picture(color="blue")
PRICES = Prices(registry=load_registry(default_folder()), operations=load_operations(), tokens_per_usd=1000)


@pytest.fixture
def storage(tmp_path: Path) -> FailingStorage:
    return FailingStorage(tmp_path / "storage")


@pytest.fixture
def uploads(database: Database, storage: FailingStorage) -> Uploads:
    return Uploads(store=UploadStore(database), storage=storage)


@pytest.fixture
def references(uploads: Uploads, storage: FailingStorage) -> References:
    return References(uploads=uploads, storage=storage)


def edit(*pictures: bytes) -> PricedOrder:
    """Return the order of an edit of these pictures, sent as data URIs."""
    uris = [f"data:image/png;base64,{base64.b64encode(content).decode()}" for content in pictures]
    order = Order(user_id="user-1", model="nano-banana-edit", inputs={"prompt": "a hat, please", "image_urls": uris}, options={})
    return PRICES.price(order, clock.now())


def test_a_picture_in_an_order_becomes_an_upload(references: References, uploads: Uploads) -> None:
    priced = references.kept(edit(GOOD, OTHER), new=[])

    names = priced.checked.arguments["image_urls"]
    kept = uploads.list("user-1", purpose=None, before_id=None, limit=10)
    assert names == [REFERENCE_PREFIX + upload.id for upload in reversed(kept)]
    assert len(names) == 2


def test_an_order_that_is_refused_leaves_none_of_its_pictures(references: References, storage: FailingStorage, database: Database) -> None:
    with pytest.raises(InvalidRequest) as refused:
        references.kept(edit(GOOD, OTHER, GOOD[:-9]), new=[])

    assert [error.pointer for error in refused.value.errors] == ["/inputs/image_urls/2"]
    assert (storage.objects, list(database["uploads"].find())) == ([], [])


def test_an_order_that_is_refused_leaves_pictures_of_other_orders(references: References, uploads: Uploads) -> None:
    references.kept(edit(GOOD), new=[])

    with pytest.raises(InvalidRequest):
        references.kept(edit(GOOD, OTHER, b"no picture"), new=[])

    (kept,) = uploads.list("user-1", purpose=None, before_id=None, limit=10)
    assert kept.size_bytes == len(GOOD)
