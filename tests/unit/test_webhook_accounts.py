"""Whose webhooks are taken, and how long fal's keys are believed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mongomock
import pytest

from app.clients.fal.webhooks import WebhookVerifier
from app.domain.errors import Unauthorized
from app.services.fulfilment.webhooks_in import FalUser
from app.stores.fal import FalUserStore
from scripts.fal_emulator.webhooks import Signer

HOUR_S = 3600.0


class KeySite:
    """Where fal publishes its keys; `keys` None: it does not answer."""

    def __init__(self, signer: Signer) -> None:
        self.signer: Signer | None = signer

    @contextmanager
    def served(self) -> Iterator[str]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if site.signer is None:
                    self.send_error(503)
                    return
                body = str(site.signer.jwks()).replace("'", '"').encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path / "first.key")


def verified(verifier: WebhookVerifier, signer: Signer) -> bool:
    body = b'{"request_id": "1"}'
    try:
        return verifier.verify(signer.headers("1", body, timestamp=1_000), body, now_s=1_000.0) == "emulator-user"
    except Unauthorized:
        return False


def test_a_key_that_fal_has_retired_is_forgotten_within_the_hour(signer: Signer, tmp_path: Path) -> None:
    site, clock = KeySite(signer), Clock()
    with site.served() as url:
        verifier = WebhookVerifier(url, clock)
        before = verified(verifier, signer)
        site.signer = Signer(tmp_path / "second.key")

        clock.now_s = HOUR_S - 1

        assert before
        assert not verified(verifier, signer)
        assert verified(verifier, site.signer)


def test_a_key_is_forgotten_within_the_hour_also_where_fal_does_not_say_which_are_left(signer: Signer) -> None:
    site, clock = KeySite(signer), Clock()
    with site.served() as url:
        verifier = WebhookVerifier(url, clock)
        before = verified(verifier, signer)
        site.signer = None

        clock.now_s = HOUR_S - 1
        meanwhile = verified(verifier, signer)
        clock.now_s = HOUR_S + 100

        assert (before, meanwhile) == (True, True)
        assert not verified(verifier, signer)


def test_a_new_key_is_known_a_minute_after_fal_begins_to_sign_with_it(signer: Signer, tmp_path: Path) -> None:
    site, clock = KeySite(signer), Clock()
    with site.served() as url:
        verifier = WebhookVerifier(url, clock)
        verified(verifier, signer)
        site.signer = Signer(tmp_path / "second.key")

        clock.now_s = 61

        assert verified(verifier, site.signer)


@pytest.fixture
def users() -> FalUserStore:
    return FalUserStore(mongomock.MongoClient(tz_aware=True)["test"])


def test_the_account_of_the_first_call_about_our_own_requests_is_ours_for_all_processes(users: FalUserStore) -> None:
    first, second = (FalUser(users=users, fixed=None, fal_key="key") for _ in range(2))

    first.require("anybody")
    first.pin("ours")
    second.require("ours")

    for process in (first, second):
        with pytest.raises(Unauthorized):
            process.require("another")
        with pytest.raises(Unauthorized):
            process.pin("another")


def test_a_new_key_of_the_operators_may_be_another_accounts(users: FalUserStore) -> None:
    FalUser(users=users, fixed=None, fal_key="old").pin("old account")
    new = FalUser(users=users, fixed=None, fal_key="new")

    new.pin("new account")

    new.require("new account")
    with pytest.raises(Unauthorized):
        new.require("old account")


def test_a_setting_decides_before_anything_is_seen(users: FalUserStore) -> None:
    fixed = FalUser(users=users, fixed="ours", fal_key="key")

    fixed.require("ours")
    for user_id in ("another", ""):
        with pytest.raises(Unauthorized):
            fixed.require(user_id)
