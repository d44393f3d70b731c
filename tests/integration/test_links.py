"""Links to pictures that end, and caches on the way: what a client or a CDN may go on using."""

from __future__ import annotations

import dataclasses
import io

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.bootstrap import Services
from app.clients.storage import LocalStorage
from app.services.pictures.links import PictureLinks
from tests.support.gateway import Gateway
from tests.support.services import with_parts


class EndingLinks(LocalStorage):
    """The service's own folder, with links that belong to a period."""

    period = "1"

    def link_period(self) -> str:
        return self.period


def client_of(services: Services, **settings: object) -> FlaskClient:
    open_to_all = dataclasses.replace(services.settings, allow_anonymous=True, **settings)  # type: ignore[arg-type]
    return create_app(open_to_all, with_parts(services, settings=open_to_all)).test_client()


def test_a_304_never_confirms_links_that_have_ended(gateway: Gateway) -> None:
    assert isinstance(gateway.services.storage, LocalStorage)
    storage = EndingLinks(gateway.services.storage.root, "http://localhost:5000/files")
    links = PictureLinks(storage=storage, own_url="http://localhost:5000", secret="s")
    client = client_of(with_parts(gateway.services, storage=storage, links=links))
    address = f"/api/jobs/{gateway.order().id}"

    first = client.get(address)
    same = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
    storage.period = "2"
    later = client.get(address, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, same.status_code, later.status_code) == (200, 304, 200)


@pytest.mark.parametrize(("public_address", "audience"), [(None, "private"), ("https://cdn.example/files", "public")])
def test_caches_in_between_may_keep_a_file_where_the_operator_gave_it_a_public_address(
    services: Services, public_address: str | None, audience: str
) -> None:
    services.storage.put("uploads/a.png", io.BytesIO(b"picture"), "image/png")

    with client_of(services, public_asset_url=public_address).get("/files/uploads/a.png") as answer:
        assert (answer.data, answer.headers["Cache-Control"]) == (b"picture", f"{audience}, max-age=31536000, immutable")
